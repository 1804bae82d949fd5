# SPDX-License-Identifier: GPL-2.0-or-later
"""The busiest seconds of a week by prefix and class; backstops are learnt from them. Pure."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.traffic.packets import PacketArray

Rates = dict[tuple[Prefix, str], float]
_HOUR = 3600
_KEPT_HOURS, _OLD_HOURS = 8 * 24, 24
_CLASSES: Mapping[str, tuple[Traffic, ...]] = {
    "syn": (Traffic.SYN,),
    "syn_ack": (Traffic.SYN_ACK,),
    "rst": (Traffic.RST,),
    "tcp": (Traffic.TCP,),
    "udp": (Traffic.UDP, Traffic.UDP_SERVICE, Traffic.QUIC_INITIAL, Traffic.DNS_QUERY),
    "icmp": (Traffic.ICMP,),
    "fragment": (Traffic.FRAGMENT,),
}


def _inside(packets: PacketArray, prefix: Prefix) -> NDArray[np.bool_]:
    """Whether each packet goes to an address of the prefix."""
    size = len(prefix.address)
    octets = np.ascontiguousarray(packets["destination"]).view("u1").reshape(-1, 16)
    bits = np.unpackbits(octets[:, :size], axis=1)
    wanted = np.unpackbits(np.frombuffer(prefix.address, "u1"))
    same = (bits[:, : prefix.length] == wanted[: prefix.length]).all(axis=1)
    return np.asarray(same & (packets["family"] == prefix.family))


def rates(packets: PacketArray, seconds: float, prefixes: Iterable[Prefix]) -> Rates:
    """Packets a second by prefix and class; empty if nothing was watched."""
    by_class: Rates = {}
    for prefix in prefixes if seconds > 0 else ():
        here = packets[_inside(packets, prefix)]
        by_kind = np.bincount(here["traffic"], here["weight"], len(Traffic)) / seconds
        for name, classes in _CLASSES.items():
            by_class[prefix, name] = float(sum(by_kind[kind] for kind in classes))
    return by_class


class Bests:
    """The busiest second of each hour, by prefix and class; times are Unix time in seconds."""

    def __init__(self) -> None:
        self._hours: dict[int, dict[tuple[Prefix, str], float]] = {}

    def add(self, now: float, rates: Rates) -> None:
        """Take the rates of a second into account."""
        hour = self._hours.setdefault(int(now) // _HOUR, {})
        for key, rate in rates.items():
            hour[key] = max(hour.get(key, 0.0), rate)
        for old in [number for number in self._hours if number < int(now) // _HOUR - _KEPT_HOURS]:
            del self._hours[old]

    def older_than_a_day(self, now: float) -> dict[tuple[Prefix, str], float]:
        """The busiest second by prefix and class of the week that ended a day ago."""
        best: dict[tuple[Prefix, str], float] = {}
        for number, hour in self._hours.items():
            if number < int(now) // _HOUR - _OLD_HOURS:
                for key, rate in hour.items():
                    best[key] = max(best.get(key, 0.0), rate)
        return best

    def as_json(self) -> dict[str, Any]:
        """The state for a file."""
        return {
            str(number): [[str(prefix), name, rate] for (prefix, name), rate in hour.items()]
            for number, hour in self._hours.items()
        }

    @classmethod
    def from_json(cls, document: Any) -> "Bests":
        """The state that `as_json` returned; ValueError or RuleError if it is something else."""
        bests = cls()
        try:
            for number, rows in document.items():
                bests._hours[int(number)] = {
                    (parse_prefix(prefix), str(name)): _finite(rate) for prefix, name, rate in rows
                }
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"it is not what was learnt: {error}") from error
        return bests


def _finite(rate: Any) -> float:
    if not math.isfinite(number := float(rate)) or number < 0:
        raise ValueError(f"{number} is no rate")
    return number
