# SPDX-License-Identifier: GPL-2.0-or-later
"""Many packets that are no attack: nobody is dropped, and known flows are not even looked at."""

import numpy as np
import pytest

from bench.detection import made
from bench.detection.made import ATTACKS
from tests.support.watching import World, began
from xdpctl.abi.constants import FlowState
from xdpctl.traffic.packets import PacketArray

Random = np.random.Generator


_SURGES = {
    "log-in": lambda r, n: made.syns(r, n),
    "Chromebooks": lambda r, n: _alike(made.syns(r, n), packet_length=60, ttl=50, tcp_flags=2),
    "QUIC": lambda r, n: made.MIX["quic"][1](r, n),
    "DNS queries": lambda r, n: made.MIX["queries"][1](r, n),
    "pings": lambda r, n: made.MIX["pings"][1](r, n),
    "new TCP service": lambda r, n: _alike(made.syns(r, n), destination_port=8443),
    "scan by our own monitoring": lambda r, n: _alike(
        made.MIX["pings"][1](r, n), source=bytes((203, 0, 113, 9)), icmp_type=8, icmp_code=0
    ),
    "new video, unknown": lambda r, n: _alike(made.MIX["video"][1](r, n), source_port=9_801),
}
_KNOWN_SURGES = {
    "new video": lambda r, n: _alike(made.MIX["video"][1](r, n), source_port=9_801),
    "VPN": lambda r, n: _alike(made.MIX["video"][1](r, n), source_port=51_820, ttl=52),
    "download": lambda r, n: _alike(made.MIX["tcp"][1](r, n), packet_length=1_500, ttl=55),
    "backup": lambda r, n: _alike(made.MIX["tcp"][1](r, n), destination_port=873),
}


def _alike(packets: PacketArray, **columns: object) -> PacketArray:
    for name, value in columns.items():
        packets[name] = value
    return packets


@pytest.mark.parametrize("name", list(_SURGES))
def test_a_surge_is_not_dropped(name: str) -> None:
    """Ten times the floor for ten seconds, in unknown flows."""
    for seed in range(3):
        world = World(seed=seed)
        world.play(10.0, _SURGES[name], 3_000)
        assert "drop" not in world.actions(), [h.match for h in world.engine.mitigations.active]


def test_log_ins_whose_handshakes_complete_are_no_attack() -> None:
    """After a bell many new people connect within seconds; their ACKs prove that they exist."""
    world = World()

    def people(random: Random, count: int) -> PacketArray:
        third = max(count // 3, 1)
        opening, going_on = made.syns(random, third), made.MIX["tcp"][1](random, 2 * third)
        going_on["flow"], going_on["shaken"][::2] = FlowState.KNOWN, 1
        return np.concatenate([opening, going_on])

    for rate in (1_500, 3_000, 6_000, 9_000, 6_000):
        assert world.play(5.0, people, rate) == []
    told = began(world.play(1.0, ATTACKS["SYN as all send it"], 50_000))
    assert told[0].mitigation.action == "challenge", "a flood on top of it is met"
    assert told[0].after <= 0.35


def test_repeated_handshakes_do_not_excuse_a_flood() -> None:
    """A few real hosts repeat the ACKs of their handshakes, beside 200,000 forged SYNs a second."""
    world = World()

    def excused(random: Random, count: int) -> PacketArray:
        half = max(count // 2, 1)
        opening, done = made.syns(random, half), made.MIX["tcp"][1](random, half)
        done["flow"], done["shaken"] = FlowState.KNOWN, 1
        return np.concatenate([opening, done])

    assert world.play(1.0, excused, 3_000) == [], "it begins as a bell does"
    told = began(world.play(2.0, excused, 400_000))
    assert [t.mitigation.action for t in told] == ["challenge"]
    assert told[0].after <= 0.5
    world.play(60.0, excused, 400_000, 0.1)
    assert world.actions() == ["challenge"], "it stays while the flood goes on"


@pytest.mark.parametrize("name", list(_KNOWN_SURGES))
def test_a_surge_of_known_flows_is_not_examined(name: str) -> None:
    world = World()

    def known(random: Random, count: int) -> PacketArray:
        return _alike(_KNOWN_SURGES[name](random, count), flow=FlowState.KNOWN)

    assert world.play(10.0, known, 50_000) == []
