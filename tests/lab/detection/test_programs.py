# SPDX-License-Identifier: GPL-2.0-or-later
"""Real programs beside the running detector, on a box that has just started."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.detection import live
from bench.detection.live import Scene
from bench.harm import beside
from bench.harm.arrivals import Arrivals
from bench.harm.beside import Age, Lost
from bench.harm.programs import MISSING, PROGRAMS, RESOLVER, Run
from bench.harm.servers import WEB
from tests.conftest import need
from tests.support.other_version import OTHER_SHAPES, other_version
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.lab.waits import eventually

_PROTOCOLS = ("dns", "quic", "ntp", "sip")  # of which there is a program
_YOUNG = Age("a moment", 5.0)
_FLOODS = (
    "CLDAP with fragments",
    "DNS water torture",
    "SYN as all send it",
    "UDP to the port of QUIC",
    "PSH and ACK with data",
)
_ANSWERED = "DNS water torture"  # by the server, so it is not held
_RESOLVER, _QUERIES = "nsd: queries of a resolver, 300/s", 300
_FLOOD = 0.5 * beside.RATE * beside.FLOOD_SECONDS  # a busy machine sends it again
_TRIES = 4 * len(_FLOODS)
_HELD = "SYN as all send it"
_MOST = 0.02  # of what each program asks for: one attempt of fifty may fail by chance
_ONE = {"iperf3: 4 Mbit/s of UDP": 450.0}  # packets of its attempt: it says hello only once


@pytest.fixture(scope="module")
def busy() -> Iterator[tuple[Scene, Run]]:
    """A box that has just started, with all programs beside it."""
    need(not MISSING, f"what people use: {', '.join(MISSING)}")
    with beside.people(_YOUNG) as both:
        yield both


def too_much(asked: Lost) -> dict[str, str]:
    """The programs that lost more than may happen by chance."""
    most = {p: max(_MOST * of, _ONE.get(p, 1.0)) for p, (_, of) in asked.items()}
    return {p: f"{n:.0f} of {of:.0f}" for p, (n, of) in asked.items() if n > most[p]}


def test_programs_lose_nothing_in_quiet_times_and_next_to_nothing_beside_floods(
    busy: tuple[Scene, Run],
) -> None:
    scene, run = busy
    asked: Lost = {}
    queries = Arrivals(scene.place, run.at.client(RESOLVER), "udp dport 53")
    for protocol in _PROTOCOLS:
        scene.box.cli("guard", protocol, run.at.server, "--monitor")
    calm = beside.calm(run, 10.0)
    guards = scene.box.cli("list", "--origin", "operator")
    assert {rule["reason"] for rule in guards if rule["packets"]} == set(), "no client sends it"
    scene.box.cli("unblock", "--all", "--yes")
    assert live.kept_out(scene) == 0, "no rule hits anybody without an attack"
    assert {p: n for p, (n, of) in calm.items() if n > _MOST * of} == {}
    todo, tries = list(_FLOODS), 0
    while todo:
        before = queries.read()
        found, tries = beside.flooded(scene, run, todo[0]), tries + 1
        assert {each.name for each in PROGRAMS} <= found.keys(), "all go on"
        if todo[0] == _ANSWERED:
            # a busy server is late for people, too: what the box keeps out of theirs counts alone
            queried, arrived = np.subtract(queries.read(), before).tolist()
            assert queried > _QUERIES
            found[_RESOLVER] = queried - arrived, float(queried)
        kept_out, sent = found.pop(beside.FLOOD)
        for program, (n, of) in found.items():
            lost, in_all = asked.get(program, (0.0, 0.0))
            asked[program] = lost + n, in_all + of
        assert tries < _TRIES, f"{sent:.0f} packets of {todo[0]} were sent, again and again"
        if sent < _FLOOD:
            continue
        assert kept_out > 0.5 * sent or todo[0] == _ANSWERED
        todo.pop(0)
    served = {(each["protocol"], each["port"]): each for each in scene.box.cli("served")}
    assert too_much(asked) == {}
    web = served["tcp", WEB]
    assert web["served"] > 60, "a page each 0.1 s, and downloads"
    assert web["data"] is not None
    assert served["udp", 53]["served"] > 0, "a resolver that asks from one port has one answer"
    assert [each["fails"] for each in served.values() if each["fails"]] == []


def test_programs_lose_next_to_nothing_while_a_flood_is_held_through_upgrade_and_downgrade(
    busy: tuple[Scene, Run], tmp_path: Path
) -> None:
    scene, run = busy
    box, names = scene.box, list[str]()
    other = other_version(tmp_path, OTHER_SHAPES)
    held = live.kept_out(scene)

    def upgrade_and_downgrade() -> None:
        assert eventually(lambda: live.kept_out(scene) > held)
        for environment in (other, {}):
            box.stop()
            box.environment = environment
            box.start()
            names.append(Pins(box.pins.directory).name)

    found = beside.flooded(scene, run, _HELD, upgrade_and_downgrade)
    kept_out, sent = found.pop(beside.FLOOD)
    assert names[0] != names[1]
    assert kept_out > 0.5 * sent
    assert {each.name for each in PROGRAMS} <= found.keys(), "all go on"
    assert too_much(found) == {}
