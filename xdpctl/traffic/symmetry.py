# SPDX-License-Identifier: GPL-2.0-or-later
"""Detects asymmetric routing: outgoing packets do not pass where incoming ones are seen. Pure.

The flow memory then knows none of the incoming flows.
"""

from collections import deque
from typing import NamedTuple

import numpy as np

from xdpctl.abi.constants import KEPT_OUT, FlowState, Reason
from xdpctl.base.net.packet_fields import LATER
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.window import Seen

_WINDOWS = 6  # number of windows that must agree
_ENOUGH = 50  # sampled packets of a window
_LOST_SHARE, _LOST_RATE = 0.02, 5.0  # share and rate of known packets: less counts as none
_FOUND_RATE = 20.0  # known packets a second
_QUIET_RATE = 20_000.0  # unknown packets a second
_QUIET_DROPS = 0.01  # share of the packets that rules drop
_TCP, _SYN, _RST, _ACK = 6, 2, 4, 16


class Glance(NamedTuple):
    """Incoming TCP packets of a window that look like those of established connections.

    `sampled` is their number, `known` the share of known flows, `rate` their packets a second;
    `quiet` says whether it was a quiet time.
    """

    sampled: int
    known: float
    rate: float
    quiet: bool


def glance(window: Seen, interface: int) -> Glance:
    """The glance of a window at one interface, by its index."""
    here = window.packets[window.packets["interface"] == interface]
    tcp = here[_looks_established(here)]
    weight = tcp["weight"].astype(np.float64)
    total, known = weight.sum(), weight[tcp["flow"] == FlowState.KNOWN].sum()
    dropped = here["weight"][np.isin(here["reason"], KEPT_OUT)].sum(dtype=np.float64)
    few = dropped <= _QUIET_DROPS * here["weight"].sum(dtype=np.float64)
    slow = bool(total - known <= _QUIET_RATE * max(window.seconds, 1.0))
    share = float(known / total) if total else 0.0
    rate = float(known) / window.seconds if window.seconds else 0.0
    return Glance(len(tcp), share, rate, bool(few) and slow)


def _looks_established(packets: PacketArray) -> "np.typing.NDArray[np.bool_]":
    flags = packets["tcp_flags"]
    whole = (packets["fragment"] < 0) | (packets["fragment"] & LATER == 0)
    tcp = (packets["protocol"] == _TCP) & (flags >= 0) & (packets["reason"] == Reason.NO_RULE)
    asked = packets["flow"] != FlowState.NOT_ASKED
    return np.asarray(tcp & whole & asked & (flags & (_SYN | _RST | _ACK) == _ACK))


class Symmetry:
    """Judges an interface by its last quiet windows.

    Routing is asymmetric if nearly all packets are of unknown flows: forged packets add unknown
    ones, but cannot take known ones away. Known packets prove the contrary at any time.
    """

    def __init__(self, asymmetric: bool = False) -> None:
        self.asymmetric = asymmetric
        self.known = 0.0  # the share of known packets in the last window that counted
        self._lost: deque[bool] = deque(maxlen=_WINDOWS)

    def add(self, window: Glance) -> None:
        """Take one more window into account, if it is conclusive."""
        if window.rate >= _FOUND_RATE:
            self.asymmetric, self.known = False, window.known
            self._lost.clear()
        elif window.quiet and window.sampled >= _ENOUGH:
            self.known = window.known
            self._lost.append(window.known < _LOST_SHARE and window.rate < _LOST_RATE)
            if len(self._lost) == _WINDOWS and all(self._lost):
                self.asymmetric = True
