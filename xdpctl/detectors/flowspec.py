# SPDX-License-Identifier: GPL-2.0-or-later
"""FlowSpec routes as events (RFC 8955, RFC 8956), independent of the BGP speaker's format."""

import math
from itertools import product

from xdpctl.errors import RuleError
from xdpctl.model.event import Event, Phase
from xdpctl.model.match.match import Match
from xdpctl.model.rate import Rate

ROUTE_TTL = 86_400.0  # seconds; a route is applied until it is withdrawn, and at most this long
_ALTERNATIVES_MAX = 64
_SLOWEST = 1_000.0  # bits/s; lower rates are raised to it
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
    """The event of a route.

    `rate` is the traffic-rate in bytes/s (RFC 8955 section 7.1): 0 drops, infinity lets all pass,
    None means that the route has none. A route that does not reduce traffic is ignored.
    """
    if phase is not Phase.ENDED and (rate is None or math.isinf(rate)):
        why = "the route does not reduce traffic: it has no finite traffic-rate"
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
