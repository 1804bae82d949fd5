# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known about packets under suspicion, and what shows that they are an attack. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xdpctl.abi.constants import ANSWERS, FlowState, Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.units import si3
from xdpctl.flood.normal import ENOUGH, Normal
from xdpctl.flood.settings import Most
from xdpctl.flood.sources import IMPOSSIBLE, Sources, sources
from xdpctl.model.match.arrays import within
from xdpctl.model.match.match import Match
from xdpctl.model.services import NEVER_ASKED, SERVICES
from xdpctl.traffic.packets import PacketArray

_FAR_BELOW = 0.1  # share of the rate: a usual rate below this share explains nothing
_ASKED = 0.9  # share of the packets that must be of unknown flows
_FAR_ABOVE = 10.0  # times the threshold
_LONG = 86_400.0  # seconds without a packet of a kind
_MANY_SOURCES = 32
_ERRORS = {4: (3, 11, 12), 6: (1, 2, 3, 4)}  # types of ICMP and ICMPv6, by family


@dataclass(frozen=True, slots=True)
class Case:
    """Packets of one kind to one victim, and what is known about them.

    `window` has the packets that belong to no known flow. `rate` and `threshold` are in packets a
    second; `usual` is the highest normal rate, 0 if none is known. `learnt` is for how many seconds
    traffic was observed, and `fresh` says that this is too short. `forged` is the share of packets
    to the victim that came from impossible sources. `taught` says that the flow memory records
    flows; if not, every flow is unknown. `accepts`: the victim has just taken part in TCP.
    `challenged`: packets of the kind are challenged, and these passed. `provable`: clients of the
    kind can prove their sources, if they send what a challenge asks. `copes`: the victim's services
    answer; they have answered up to `answered` packets a second.
    """

    victim: Prefix
    kind: Traffic
    window: PacketArray
    normal: Normal
    rate: float
    threshold: float
    usual: float = 0.0
    learnt: float = 0.0
    fresh: bool = False
    forged: float = 0.0
    taught: bool = True
    accepts: bool = False
    challenged: bool = False
    provable: bool = False
    copes: bool = False
    answered: float = 0.0


def unsolicited(case: Case) -> str:
    """A sentence, if the packets are answers that nobody has asked for; else empty."""
    if case.kind not in ANSWERS or not case.taught or _between_services(case):
        return ""
    unknown = case.window["flow"] == FlowState.UNKNOWN
    if unknown.mean() < _ASKED:
        return ""
    return f"{case.kind.setting} only comes as an answer, and the packets belong to no known flow"


def strongest(kind: Traffic, most: Most, fresh: bool, taught: bool) -> str:
    """The strongest measure against a proven attack of a kind, as `xdpctl detect` names it.

    It is drop, challenge, limit, watch or nothing.
    """
    if most in (Most.OFF, Most.OBSERVE):
        return "nothing" if most is Most.OFF else "watch"
    if most is Most.DROP and (not fresh or (kind in ANSWERS and taught)):
        return "drop"
    return "challenge" if kind is Traffic.SYN else "limit"


def _between_services(case: Case) -> bool:
    """Whether packets go from one service's port to another's, as between two VPN gateways.

    The flow memory does not learn from packets that leave from a service's port.
    """
    if case.kind is not Traffic.UDP_SERVICE:
        return False
    to = case.window["destination_port"]
    return bool((within(SERVICES, to) & (to >= 0)).mean() > 1 - _ASKED)


def unaccepted(case: Case) -> str:
    """A sentence, if TCP packets belong to no connection that the inside takes part in; else empty.

    A handshake, or what the inside acknowledges, shows who takes part. This is not known just after
    the start, where answers go another way, or for a host that accepts no connections.
    """
    if case.kind is not Traffic.TCP or case.fresh or not (case.taught and case.accepts):
        return ""
    if case.usual > _FAR_BELOW * case.rate:
        return ""
    if (case.window["flow"] == FlowState.UNKNOWN).mean() < _ASKED:
        return ""
    return "the packets belong to no connection that the inside has accepted"


def never_seen(case: Case, from_where: Sources) -> bool:
    """Whether the kind is new after a long time; many sources show that it is no new tunnel."""
    if case.kind is Traffic.SYN:  # a challenge lets people in, so there is no need to be sure
        return False
    unseen = case.learnt >= _LONG and case.normal.count(case.kind) == 0
    return unseen and from_where.distinct >= _MANY_SOURCES


def _without_errors(case: Case, from_where: Sources) -> Sources:
    """The sources without those of ICMP errors, which routers send from private addresses."""
    if case.kind is not Traffic.ICMP:
        return from_where
    errors = np.isin(case.window["icmp_type"], _ERRORS[case.victim.family])
    return sources(case.window[~errors]) if errors.any() else from_where


def because(case: Case, from_where: Sources, unsolicited: str) -> Iterator[str]:
    """What shows, besides their rate, that the packets are an attack."""
    if unsolicited:
        yield unsolicited
    if why := unaccepted(case):
        yield why
    if case.fresh:
        return
    alike = sources(case.normal.packets[: len(case.window)])
    if why := _without_errors(case, from_where).forged(alike):
        yield why
    elif case.forged >= IMPOSSIBLE:
        yield f"{case.forged:.0%} of the packets came from sources that cannot exist"
    if case.copes:  # many clients of a new or popular service alone show nothing
        return
    known = case.normal.count(case.kind) >= 2 * ENOUGH
    if case.kind is Traffic.SYN:  # many people connect to a new service; a challenge lets them in
        return
    if known and case.rate >= _FAR_ABOVE * case.threshold:
        yield (
            f"{si3(case.rate)} packets/s are more than {_FAR_ABOVE:.0f} times the threshold of "
            f"{si3(case.threshold)}, and the normal traffic of this kind is known"
        )
    if never_seen(case, from_where):
        yield (
            f"no packet of the kind {case.kind.setting} was seen for a day, and they come from "
            f"{from_where.distinct} sources"
        )


def never_asked_for(match: Match, kind: Traffic) -> Iterator[str]:
    """A sentence, if the match takes UDP from services that nobody uses across the Internet."""
    ports = match.get("source_port")
    if kind is Traffic.UDP_SERVICE and ports:
        singles = all(low == high and low in NEVER_ASKED for low, high in ports)
        if singles:
            named = ", ".join(str(low) for low, _ in ports)
            yield f"nobody uses a UDP service on port {named} across the Internet"
