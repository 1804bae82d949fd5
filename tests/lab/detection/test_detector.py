# SPDX-License-Identifier: GPL-2.0-or-later
"""The running detector: floods are held, people stay, and nothing depends on its life."""

import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest

from bench.detection import live
from bench.detection.frames import Sender, frames
from bench.detection.live import Scene
from bench.detection.made import ATTACKS
from tests.lab.behind.floods import flooding
from tests.lab.behind.places import SERVER
from tests.lab.questions import counted
from xdpctl.abi.constants import Reason
from xdpctl.lab.waits import eventually

KEPT_OUT = (Reason.MATCHED, Reason.LIMITED, Reason.CHALLENGED)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with live.scene("bridge") as made:
        yield made


def kept_out(scene: Scene) -> int:
    return sum(counted(scene.box, reason) for reason in KEPT_OUT)


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("NTP monlist", "drop"),
        ("SYN as all send it", "challenge"),
        ("SYN-ACK, reflected", "drop"),
        ("ICMP echo", "limit"),
        ("fragments", "drop"),
    ],
)
def test_a_flood_is_held_and_nobody_notices(scene: Scene, name: str, action: str) -> None:
    felt = live.flood(scene, name)
    assert felt.held is not None, "it was not held"
    assert action in felt.actions
    # a drop may take a part of what a limit or a challenge would let pass
    assert set(felt.actions) <= {action, "drop"}
    assert felt.dropped > 0.8
    assert (felt.broken, felt.lost) == (0, 0.0)


def test_the_incident_records_what_the_detector_did(scene: Scene) -> None:
    live.forget(scene)
    with flooding(scene.place, scene.generator, "fragment", 50_000):
        assert eventually(lambda: kept_out(scene) > 1_000)
    call = scene.box.client.call
    (incident,) = call("GET", "/v1/incidents")["incidents"]
    assert incident["detectors"] == ["builtin"]
    whole = call("GET", f"/v1/incidents/{incident['id']}")
    assert whole["findings"][0]["because"]
    assert eventually(lambda: bool(scene.status().mitigations)), "it reports once a second"
    said = scene.box.cli("detect")
    assert said["runs"]
    assert said["mitigations"][0]["state"] in ("attack", "waiting")
    shown = scene.box.cli("detect", "192.0.2.1")
    assert shown["protected"]
    assert {each["kind"] for each in shown["kinds"]} >= {"syn", "udp", "icmp"}
    assert scene.box.cli("why", incident["id"])["findings"] == whole["findings"]


def test_the_rules_of_a_detector_killed_in_a_flood_stay_and_are_taken_over(scene: Scene) -> None:
    live.forget(scene)
    with flooding(scene.place, scene.generator, "RST", 50_000):
        assert eventually(lambda: kept_out(scene) > 10_000)
        before = {rule["id"] for rule in scene.box.client.pages()}
        time.sleep(1.5)  # what it answered is written within a second
        first = scene.box.detector()
        os.kill(first, signal.SIGKILL)
        dropped = kept_out(scene)
        assert eventually(lambda: _runs_anew(scene, first))
        assert kept_out(scene) > dropped, "the rules held meanwhile"
        assert eventually(lambda: [h.state for h in scene.status().mitigations] == ["attack"])
        assert {rule["id"] for rule in scene.box.client.pages()} == before, "no second answer"
    assert scene.sessions.all_answer()


def test_a_flood_is_seen_while_the_control_plane_does_not_answer(scene: Scene) -> None:
    """The control plane may be starting or hanging; rules are added as soon as it answers."""
    live.forget(scene)
    plane = scene.box.control_plane()
    os.kill(plane, signal.SIGSTOP)
    try:
        with flooding(scene.place, scene.generator, "fragment", 50_000):
            assert eventually(lambda: bool(scene.status().mitigations))
            assert kept_out(scene) == 0
            os.kill(plane, signal.SIGCONT)
            assert eventually(lambda: kept_out(scene) > 1_000)
    finally:
        os.kill(plane, signal.SIGCONT)
    assert scene.sessions.all_answer()


def _refused(scene: Scene) -> bool:
    return any(
        "automatic mitigation is off" in mitigation.refused
        for mitigation in scene.status().mitigations
    )


def _runs_anew(scene: Scene, before: int) -> bool:
    status = scene.status()
    return status.pid != before and not status.silent


def test_expected_traffic_starts_nothing_and_a_legitimate_incident_is_let_in(scene: Scene) -> None:
    live.forget(scene)
    call, name = scene.box.client.call, "UDP of one length by bots"
    game = {"name": "game", "destination": SERVER, "kind": "udp", "pps": 60_000}
    call("POST", "/v1/expectations", json=game)
    time.sleep(3.0)  # the detector asks each two seconds
    assert passes(scene, name) > 0.99
    call("DELETE", "/v1/expectations/game")
    time.sleep(3.0)
    assert passes(scene, name) < 0.5
    (incident,) = call("GET", "/v1/incidents")["incidents"]
    done = scene.box.cli("incident", "close", incident["id"], "--legitimate")
    assert done["removed"]
    time.sleep(3.0)
    assert passes(scene, name) > 0.99
    (expected,) = done["expected"]
    call("DELETE", f"/v1/expectations/{expected['name']}")


def passes(scene: Scene, name: str) -> float:
    """The share of a made flood that passes."""
    before = kept_out(scene)
    packets = ATTACKS[name](np.random.default_rng(5), 4_096)
    sender = Sender("far0", frames(packets, scene.place.mac), 20_000.0, 3.0)
    scene.place.world.start(sender.run).result()
    time.sleep(0.1)
    return 1 - (kept_out(scene) - before) / sender.sent


def test_an_operator_stops_the_detector_at_once(scene: Scene) -> None:
    live.forget(scene)
    scene.box.client.call("PUT", "/v1/automatic", json={"mode": "off"})
    with flooding(scene.place, scene.generator, "UDP", 50_000):
        time.sleep(2.0)
        assert list(scene.box.client.pages()) == []
        assert eventually(lambda: _refused(scene)), "nobody is told"


def test_a_full_disk_does_not_stop_the_detector(scene: Scene) -> None:
    """Neither the report nor the baseline can be written, but the detector still works."""
    live.forget(scene)
    folder = scene.box.directory / "state" / "control"
    for name in ("detect.learnt", "detect.json"):
        (folder / name).unlink()
        (folder / name).mkdir()
    try:
        with flooding(scene.place, scene.generator, "fragment", 50_000):
            assert eventually(lambda: kept_out(scene) > 1_000)
        assert eventually(lambda: "is not written" in scene.box.log.read_text())
    finally:
        for name in ("detect.learnt", "detect.json"):
            (folder / name).rmdir()
