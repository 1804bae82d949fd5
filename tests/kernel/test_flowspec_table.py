# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes as a peer sends them, through the speaker's parser into the program: a router's table.

The judge is `tests/flowspec_table.py`, which reads the same bytes by itself.
"""

import json
import os
import random
from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from exabgp.bgp.message import Action as Wire
from exabgp.bgp.message.update.nlri.flow import Flow
from exabgp.protocol.family import AFI, SAFI

from tests import flowspec_table, reference, reference_signatures
from tests.flowspec_table import Route
from tests.kernel.conftest import VERDICTS, Filter
from tests.kernel.test_signatures import Armed
from tests.reference_signatures import Signature
from tests.support import packets
from tests.support.upstream import PEER, table
from xdpctl.datapath.bpf import programs
from xdpctl.detectors.formats import exabgp
from xdpctl.model.match.match import Match
from xdpctl.model.rule import Rule
from xdpctl.upstream.receiver import _request

ROUTES, PACKETS = 250, 10_000
ROUNDS = int(os.environ.get("XDPCTL_FLOWSPEC_ROUNDS", "5"))
# a T bit alone does nothing; only a fragment's next header may be that of an extension header
LEFT_OUT = ("does not reduce traffic", "extension headers")
NETWORKS = [ip_network(text) for text in ("198.51.100.0/24", "2001:db8:ffff::/64")]
(PEER_SETTINGS,) = table(PEER | {"receive": "enforce"}).peers


@pytest.fixture
def armed(emptied: Filter) -> Iterator[Armed]:
    held = Armed(emptied)
    yield held
    held.hold([])


def received(route: Route) -> tuple[Rule, Signature] | str:
    """A route as the product takes it over from the speaker, or why it refuses the route."""
    afi = AFI.ipv4 if route.family == 4 else AFI.ipv6
    nlri, _ = Flow.unpack_nlri(afi, SAFI.flow_ip, route.nlri, Wire.ANNOUNCE, False)
    assert nlri is not None, route
    asked = ["rate-limit:0"] if route.drops else ["rate-limit:1000000"] if route.limits else []
    asked += ["action terminal"] if route.goes_on else []
    family = f"ipv{route.family} flow"
    update = {
        "attribute": {"extended-community": [{"string": text} for text in asked]},
        "announce": {family: {"no-nexthop": [json.loads(nlri.json())]}},
    }
    neighbor = {"address": {"peer": PEER["address"]}, "message": {"update": update}}
    message = json.dumps({"type": "update", "neighbor": neighbor}).encode()
    (event,) = exabgp.read_table(message)
    if event.ignored:
        return event.ignored
    request = _request(PEER_SETTINGS, event)
    final = request.limit is not None and request.limit.final
    over = route.over and route.limits
    rule = Rule(
        request.match, request.action, limit=request.limit, priority=1, rank=request.rank, slot=1
    )
    return rule, Signature({}, request.action.value, "live", over, final)


def test_the_program_decides_as_a_router_with_that_table(armed: Armed) -> None:
    seed = int(os.environ.get("XDPCTL_FUZZ_SEED", "0")) or random.SystemRandom().getrandbits(32)
    rng = random.Random(seed)
    counted = {True: 0, False: 0}
    for _ in range(ROUNDS):
        held, routes, refused = (
            dict[Match, tuple[Rule, Signature]](),
            list[Route](),
            dict[Route, str](),
        )
        for route in (flowspec_table.made(rng, NETWORKS) for _ in range(ROUTES)):
            taken = received(route)
            if isinstance(taken, str):
                if not any(why in taken for why in LEFT_OUT):
                    refused[route] = taken  # because no packet matches: that is checked below
            elif taken[0].match not in held:
                held[taken[0].match] = taken
                routes.append(route)
        ranked = sorted(held.values(), key=lambda pair: pair[0].order)
        armed.hold([(rule.match, signature) for rule, signature in ranked])
        table_of = {
            family: flowspec_table.ordered([r for r in routes if r.family == family])
            for family in (4, 6)
        }
        four = [packets.address(f"192.0.2.{n}") for n in (7, 9)]
        six = [packets.address(f"2001:db8::{n}") for n in (7, 9)]
        for _ in range(PACKETS):
            frame = packets.random_frame(rng, four, six)
            if reference.trace(frame, [])[0] != "NO_RULE":
                continue
            has = reference_signatures.fields(frame)
            family = 4 if len(has["source"]) == 4 else 6  # type: ignore[arg-type]
            passes = flowspec_table.decide(table_of[family], has)
            wrong = {r: why for r, why in refused.items() if flowspec_table.matches(r, has)}
            assert not wrong, f"seed {seed}: {frame.hex()}"
            verdict = VERDICTS[programs.run(armed.filter.program, frame).value]
            assert (verdict == "pass") is passes, f"seed {seed}: {frame.hex()}"
            counted[passes] += 1
    assert min(counted.values()) > 500, counted
