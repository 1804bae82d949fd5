# SPDX-License-Identifier: GPL-2.0-or-later
"""How much of the attack a mitigation's rule hits, and whether the rule is still needed. Pure."""

import numpy as np

from xdpctl.abi.constants import FlowState, Reason, Traffic
from xdpctl.flood.mitigation import Mitigation, State
from xdpctl.model.expectation import Raises, raised
from xdpctl.model.match.match import Match
from xdpctl.traffic.counted import completed
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.select import covers, takes

_HIT = 100.0  # packets a second: fewer hits do not keep a rule
_HEADS_LEAST = 4  # heads that show that a flood is back: one head may stand for many packets
_BACK, _STILL = 0.25, 0.5  # shares of the threshold: the attack has come back, or goes on
_PACKETS_OF_A_HANDSHAKE = 2.0  # SYNs: the first is challenged, the second is let in


def attack_rate(
    mitigation: Mitigation, match: Match, packets: PacketArray, seconds: float
) -> float:
    """The packets a second of the attack that a rule hits.

    For known flows it is the rate of the largest source. SYNs of completed handshakes do not
    count, except for a drop of SYNs: it was made to hit next to no normal ones.
    """
    known = packets["flow"] == FlowState.KNOWN
    chosen = takes(match, packets) & (known == mitigation.known)
    if mitigation.state is State.PROBING:
        chosen &= packets["reason"] == Reason.NO_RULE
        if chosen.sum() < _HEADS_LEAST:
            return 0.0
    mass = packets["weight"][chosen].astype(np.float64)
    if mitigation.known:
        _, places = np.unique(packets["source"][chosen], return_inverse=True)
        return float(np.bincount(places, mass).max()) / seconds if len(mass) else 0.0
    if mitigation.of_kind is not Traffic.SYN or (mitigation.drops and not mitigation.blind):
        return float(mass.sum()) / seconds
    shaken = (packets["shaken"] != 0) & covers(
        mitigation.prefix, packets["family"], packets["destination"]
    )
    people = _PACKETS_OF_A_HANDSHAKE * completed(packets[shaken], seconds)
    return max(0.0, float(mass.sum()) - people) / seconds


def expected(mitigation: Mitigation, raises: Raises) -> bool:
    """Whether operators expect as many packets as the mitigation's rule hits now."""
    threshold = mitigation.finding.threshold
    most = raised(raises, mitigation.prefix, mitigation.of_kind, threshold)
    return most > threshold and mitigation.rate < most


def needed(mitigation: Mitigation, raises: Raises) -> bool:
    """Whether the attack goes on, and the hits are not normal packets alone.

    What operators expect is no attack. A rule that certainly hits next to no normal packets is kept
    at a lower rate than any other rule.
    """
    if expected(mitigation, raises):
        return False
    sure = mitigation.drops and not mitigation.watched and not mitigation.blind
    share = _BACK if sure else _STILL
    return mitigation.rate - mitigation.normal >= max(_HIT, share * mitigation.finding.threshold)
