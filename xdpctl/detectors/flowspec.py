# SPDX-License-Identifier: GPL-2.0-or-later
"""FlowSpec routes as events (RFC 8955, RFC 8956), independent of the BGP speaker's format."""

import math
from itertools import product
from typing import NamedTuple

from xdpctl.errors import RuleError
from xdpctl.model.event import Event, Phase
from xdpctl.model.match.match import Match
from xdpctl.model.rate import BPS_MAX, PPS_MAX, Rate

ROUTE_TTL = 86_400.0  # seconds; a route is applied until it is withdrawn, and at most this long
_ALTERNATIVES_MAX = 64
_SLOWEST = 1_000.0  # bits/s; lower rates are raised to it
_FEWEST = 1.0  # packets/s, likewise
FRAGMENTS = {
    "dont-fragment": "dont",
    "is-fragment": "later",
    "first-fragment": "first",
    "last-fragment": "last",
    "not-a-fragment": "!later&!first",
}


class Action(NamedTuple):
    """The action of a route: traffic-rate-bytes and -packets a second (RFC 8955 section 7).

    0 drops, infinity lets all pass, and None means that there is no such action. `refused` names an
    action that is not supported. `in_order`: the order of the routes decides about a packet
    (section 5.1). Then the first one that matches is the last one, unless it `goes_on` (T bit).
    """

    bytes: float | None = None
    packets: float | None = None
    refused: str = ""
    in_order: bool = False
    goes_on: bool = False

    @property
    def limit(self) -> Rate | None:
        """The limit; None for a drop. If bytes and packets are given, bytes decide.

        An exception is a limit that is never reached.
        """
        if 0 in (self.bytes, self.packets):
            return None
        final = self.in_order and not self.goes_on
        if _finite(self.bytes):
            bits = min(max(8 * (self.bytes or 0.0), _SLOWEST), BPS_MAX)
            return Rate(bps=bits, final=final)
        if _finite(self.packets):
            return Rate(pps=min(max(self.packets or 0.0, _FEWEST), PPS_MAX), final=final)
        return Rate(pps=PPS_MAX, final=final)

    @property
    def matters(self) -> bool:
        """Whether it makes a difference: it reduces traffic, or is an exception to other routes."""
        excepts = self.in_order and not self.goes_on
        return excepts or _finite(self.bytes) or _finite(self.packets)


DISCARD = Action(0.0)


def _finite(rate: float | None) -> bool:
    return rate is not None and not math.isinf(rate)


def event(
    phase: Phase,
    identity: str,
    match: Match,
    action: Action,
    peer: str = "",
    ttl: float | None = None,
) -> Event:
    """The event of a route; ignored if its action does not reduce traffic, or is not supported."""
    if phase is not Phase.ENDED and action.refused:
        why = f"the route asks for {action.refused}, which is not supported"
        return Event(phase=phase, id=identity, group=peer, ignored=why)
    if phase is not Phase.ENDED and not action.matters:
        why = "the route does not reduce traffic: it has no finite traffic-rate"
        return Event(phase=phase, id=identity, group=peer, ignored=why)
    limit = action.limit if phase is not Phase.ENDED else None
    source = match.source_only
    return Event(
        phase=phase,
        id=identity,
        victim=match.get("destination"),
        sources=(source,) if source and not limit else (),
        match=match,
        limit=limit,
        group=peer,
        ttl=ttl,
    )


def bits(names: list[str], any_of: bool, negated: bool) -> list[str]:
    """A bitmask test (RFC 8955 section 4.2.1.2) as alternatives in the syntax of our matches.

    With the match bit all of the names must be set; without it (`any_of`) one of them must be.
    """
    if not any_of:
        return [("!" if negated else "") + "+".join(names)]
    return ["&".join(f"!{name}" for name in names)] if negated else names


def all_of(tests: list[list[str]]) -> list[str]:
    """The alternatives of tests that must all hold, each a list of alternatives.

    RuleError if there are more than 64.
    """
    alternatives = 1
    for test in tests:
        alternatives *= len(test)
        if alternatives > _ALTERNATIVES_MAX or len(tests) > _ALTERNATIVES_MAX:
            fix = "use the match bit, or fewer tests"
            raise RuleError("too many alternatives of bits", "announce", fix)
    return ["&".join(chosen) for chosen in product(*tests)]
