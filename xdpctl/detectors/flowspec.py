# SPDX-License-Identifier: GPL-2.0-or-later
"""FlowSpec routes, however a BGP speaker writes them, as events (RFC 8955, RFC 8956)."""

import math
from itertools import product

from xdpctl.errors import RuleError
from xdpctl.model.event import Event, Phase
from xdpctl.model.match.match import Match
from xdpctl.model.signature import Rate

ROUTE_TTL = 86_400.0  # seconds; a route stands until it is withdrawn, and no longer than this
_ALTERNATIVES_MAX = 64
_SLOWEST = 1_000.0  # bits/s; a limit below it drops all but a packet now and then
FRAGMENTS = {
    "dont-fragment": "dont",
    "is-fragment": "later",
    "first-fragment": "first",
    "last-fragment": "last",
    "not-a-fragment": "!later&!first",
}


def event(
    phase: Phase,
    identity: str,
    match: Match,
    rate: float | None,
    peer: str = "",
    ttl: float | None = None,
) -> Event:
    """A route. `rate` is traffic-rate's, in bytes/s (RFC 8955 section 7.1): 0 drops, infinite lets
    all pass; None: the route says nothing of the kind.
    """
    if phase is not Phase.ENDED and (rate is None or math.isinf(rate)):
        why = "it asks for no less traffic: there is no traffic-rate that holds any back"
        return Event(phase=phase, id=identity, group=peer, ignored=why)
    source = match.source_only
    return Event(
        phase=phase,
        id=identity,
        victim=match.get("destination"),
        sources=(source,) if source and not rate else (),
        match=match,
        limit=Rate(bps=max(8 * rate, _SLOWEST)) if rate else None,
        group=peer,
        ttl=ttl,
    )


def bits(names: list[str], any_of: bool, negated: bool) -> list[str]:
    """A bitmask test (RFC 8955 section 4.2.1.2) as what our matches write; one of them must hold.

    With the match bit all of the names must be set, without it any.
    """
    if not any_of:
        return [("!" if negated else "") + "+".join(names)]
    return ["&".join(f"!{name}" for name in names)] if negated else names


def all_of(tests: list[list[str]]) -> list[str]:
    """Tests that must hold together, each a list of alternatives; RuleError for too many."""
    alternatives = 1
    for test in tests:
        alternatives *= len(test)
        if alternatives > _ALTERNATIVES_MAX or len(tests) > _ALTERNATIVES_MAX:
            fix = "use the match bit, or fewer tests"
            raise RuleError("too many alternatives of bits", "announce", fix)
    return ["&".join(chosen) for chosen in product(*tests)]
