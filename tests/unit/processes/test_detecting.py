# SPDX-License-Identifier: GPL-2.0-or-later
"""The detector's files and its reports to the hook."""

import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import structs

from bench.detection.made import ATTACKS
from tests.support.watching import World
from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.config.settings import Settings
from xdpctl.detectors.formats import builtin
from xdpctl.errors import Unreachable
from xdpctl.flood.engine import Engine
from xdpctl.flood.memory import NormalTraffic
from xdpctl.flood.mitigation import Report
from xdpctl.flood.settings import DetectSettings
from xdpctl.model.event import Phase
from xdpctl.model.match.text import parse
from xdpctl.processes.detector import learnt
from xdpctl.processes.detector.detector import prefixes
from xdpctl.processes.detector.status import DetectorStatus, read_status, status
from xdpctl.processes.detector.teller import Teller, told
from xdpctl.traffic.select import takes


@pytest.fixture(scope="module")
def world() -> World:
    made = World()
    made.play(1.0, ATTACKS["SSDP"], 50_000)
    made.quiet(90.0, 0.1)
    assert made.engine.mitigations.earlier.all
    made.play(1.0, ATTACKS["chargen"], 50_000)
    assert made.engine.mitigations.active
    return made


def test_learnt_traffic_is_restored(tmp_path: Path, world: World) -> None:
    path = tmp_path / "learnt"
    path.write_bytes(learnt.packed(world.engine))
    found = learnt.read(path, world.unix)
    assert found.usual.since == world.engine.usual.since
    assert found.usual.observed == pytest.approx(world.engine.usual.observed)
    kept = world.engine.normal.packets()
    assert len(found.normal.packets()) == len(kept)
    assert found.normal.of_family(4).count(Traffic.UDP) == world.engine.normal.of_family(4).count(
        Traffic.UDP
    )
    file = learnt.LearntFile(path)
    assert file.read().usual.since == world.engine.usual.since
    assert file.read() is file.read(), "it is read once"
    path.unlink()
    assert file.read().usual.since != world.engine.usual.since


def test_what_packets_carry_is_not_stored_and_counts_as_hit(tmp_path: Path, world: World) -> None:
    kept = world.engine.normal.packets()
    secret = np.frombuffer(b"Cookie: ", np.uint8)
    kept["payload"][:, : len(secret)], kept["payload_bytes"] = secret, len(secret)
    normal = NormalTraffic(1)
    normal.restore(kept)
    ours = [parse_prefix("198.51.100.0/24")]
    path = tmp_path / "learnt"
    path.write_bytes(learnt.packed(Engine(DetectSettings(), ours, world.engine.usual, normal)))
    assert secret.tobytes() not in path.read_bytes()
    found = learnt.read(path, world.unix).normal.packets()
    carries = found["destination_port"] >= 0
    assert carries.any()
    assert takes(parse("payload @0 ff"), found).tolist() == carries.tolist()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-10],
        lambda data: data[: len(data) // 2],
        lambda data: b"\n" + data,
        lambda data: b"[1]\n" + data.partition(b"\n")[2],
        lambda data: b"x" * 1_000,
        lambda data: data.replace(b"ttl", b"tll", 1),
        lambda data: data.replace(b'"packets": ', b'"packets": 9', 1),
        lambda data: data.replace(b'"observed": ', b'"observed": -', 1),
        lambda data: data.replace(b'"earlier": [', b'"earlier": 5, "x": [', 1),
    ],
)
def test_after_a_damaged_file_learning_begins_anew(
    tmp_path: Path, world: World, damage: Any
) -> None:
    path = tmp_path / "learnt"
    path.write_bytes(learnt.packed(world.engine))
    before = path.read_bytes()
    path.write_bytes(damage(before))
    assert path.read_bytes() != before
    found = learnt.read(path, world.unix)
    assert found.usual.since == world.unix
    assert list(found.earlier) == []
    assert len(found.normal.packets()) == 0


@pytest.mark.parametrize(
    ("part", "damaged"),
    [
        (b'"state": "probing"', b'"state": "nonsense"'),
        (b"dst 192.0.2.1", b"dst nonsense"),
    ],
)
def test_an_unreadable_earlier_mitigation_does_not_affect_the_rest(
    tmp_path: Path, world: World, part: bytes, damaged: bytes
) -> None:
    path = tmp_path / "learnt"
    before = learnt.packed(world.engine)
    assert part in before
    path.write_bytes(before.replace(part, damaged, 1))
    found = learnt.read(path, world.unix)
    assert found.usual.since == world.engine.usual.since
    assert len(found.earlier) == len(world.engine.mitigations.earlier.all) - 1
    assert len(found.normal.packets())


def test_a_written_report_is_read_back(tmp_path: Path, world: World) -> None:
    path = tmp_path / "detect.json"
    assert read_status(path) is None
    path.write_bytes(msgspec.json.encode(status(world.engine, 3, time.monotonic())))
    found = read_status(path)
    assert isinstance(found, DetectorStatus)
    assert (found.overrun, found.silent) == (3, False)
    assert found.mitigations[0].match == world.engine.mitigations.active[0].match
    assert found.mitigations[0].kind == "udp_service"
    later = structs.replace(found, beat=time.monotonic() + 100)
    assert later.silent, "the report is from before the host's start"
    wrong = path.read_bytes().replace(b"dst 192.0.2.1", b"dst nonsense")
    for bad in (wrong, b"", b"{}", b"[[" * 5_000, b'{"pid": "x"}'):
        path.write_bytes(bad)
        assert read_status(path) is None


def test_the_hook_accepts_a_report_of_the_detector(world: World) -> None:
    (mitigation, *_) = world.engine.mitigations.active
    (event,) = builtin.read(builtin.encode([told(Report(Phase.BEGAN, mitigation))]))
    assert (event.id, event.match, event.finding) == (
        mitigation.id,
        mitigation.parsed(),
        mitigation.finding,
    )
    assert event.pps >= mitigation.finding.rate
    (again,) = builtin.read(builtin.encode([told(Report(Phase.CONTINUES, mitigation, watch=True))]))
    assert (again.watch, again.finding) == (True, mitigation.finding), (
        "the report has not been sent yet"
    )
    heard = told(Report(Phase.CONTINUES, structs.replace(mitigation, accepted=True)))
    assert heard.finding is None


def test_the_reason_of_a_report_without_effect_is_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    (mitigation, *_) = world.engine.mitigations.active
    teller = Teller(Path("/nowhere"))
    reports = [told(Report(Phase.BEGAN, mitigation))]
    assert "nothing answers" in teller.tell(reports)[mitigation.id]

    def answering(found: dict[str, Any]) -> dict[str, str]:
        monkeypatch.setattr(type(teller._client), "call", lambda *_, **__: found)
        return teller.tell(reports)

    nothing: dict[str, Any] = {"refused": [], "ignored": []}
    assert answering(nothing) == {}
    assert answering(nothing | {"refused": [{"what": mitigation.match, "why": "full"}]}) == {
        mitigation.id: "full"
    }
    assert answering(nothing | {"ignored": [{"event": mitigation.id, "why": "off"}]}) == {
        mitigation.id: "off"
    }

    def broken(*_: Any, **__: Any) -> Any:
        raise Unreachable("gone")

    monkeypatch.setattr(type(teller._client), "call", broken)
    assert teller.tell(reports) == {mitigation.id: "gone"}
    assert teller.tell([told(Report(Phase.ENDED, mitigation))]) == {mitigation.id: "gone"}


def test_configured_prefixes_are_defended_before_the_loader_reports(tmp_path: Path) -> None:
    ours = (parse_prefix("192.0.2.0/24"),)
    settings = Settings(state_dir=tmp_path, protected=ours)
    assert prefixes(settings) == ours, "the loader has not reported yet"
