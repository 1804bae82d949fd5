# SPDX-License-Identifier: GPL-2.0-or-later
"""A box that is killed and restarted repeatedly under a flood leaks no packet and loses no rule."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lab.conftest import Street
from xdpctl.abi.structs import Hits
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import sh

BLOCKED = "203.0.113.0/24"
SOURCES = [f"203.0.113.{n}" for n in range(1, 255)]
RULES = [
    {"match": {"source": BLOCKED}, "action": "drop"},
    {"match": {"source": "198.51.100.7"}, "action": "accept", "reason": "a partner"},
    {"match": {"source": "2001:db8::/32"}, "action": "drop", "mode": "monitor"},
]
CYCLES = 10
HALF_STARTS = (0.1, 0.5, 0.9, 1.3, 1.7)  # seconds into a start, when the next kill comes


@pytest.fixture
def box(street: Street) -> Iterator[Box]:
    box = Box(street.server, ["isp0"])
    try:
        yield box
    finally:
        box.remove()


def rules(box: Box) -> list[tuple[object, ...]]:
    return [
        (rule["match"]["source"], rule["action"], rule["mode"], rule["reason"])
        for rule in box.client.pages()
    ]


def dropped(box: Box) -> Hits:
    found = box.client.call("GET", "/v1/counters")["interfaces"]["isp0"]["dropped"]
    return Hits(found["packets"], found["bytes"])


def hits(box: Box) -> Hits:
    rule = box.client.call("GET", "/v1/rules/" + BLOCKED.replace("/", "_"))
    return Hits(rule["packets"], rule["bytes"])


def half_start(box: Box, seconds: float) -> None:
    """Start `xdpctl run`, and kill it with all its children before it is ready."""
    paths = ("--state-dir", box.directory / "state", "--pin-dir", box.pins.directory)
    command = [sys.executable, "-m", "xdpctl", "run", "-i", "isp0", *map(str, paths)]
    with box.log.open("ab") as log:
        run = box.host.popen(
            *command, "--socket", str(box.socket), "--port", "0", stdout=log, stderr=log
        )
    try:
        time.sleep(seconds)
    finally:
        victims = below(run.pid)
        for pid in victims:
            with suppress(ProcessLookupError):  # it has ended with its parent
                os.kill(pid, signal.SIGKILL)
        run.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in victims):
        time.sleep(0.01)


def below(pid: int) -> list[int]:
    """The ids of a process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in below(int(child)))]


def test_no_packet_leaks_and_nothing_is_forgotten_over_kills_and_restarts(
    street: Street, box: Box
) -> None:
    box.start()
    with street.sniffer(BLOCKED) as stack:
        street.send(SOURCES, 50_000)
        assert stack.count() > 0, "without a rule packets arrive, or nothing below means anything"
    for rule in RULES:
        box.client.call("POST", "/v1/rules", json=rule)
    kept, seen = rules(box), [dropped(box)]
    with street.sniffer(BLOCKED) as stack, street.flood(SOURCES) as sent:
        for cycle in range(CYCLES):
            seen.append(dropped(box))
            box.kill()
            if cycle < len(HALF_STARTS):
                half_start(box, HALF_STARTS[cycle])
            box.start()
            seen.append(dropped(box))
            assert rules(box) == kept
            assert stack.count() == 0, f"leaked by restart {cycle}"
        street.generator.stop.set()
        flood = sent.result()
        assert stack.count() == 0
    print(
        f"{flood.packets} packets in {flood.seconds:.1f} s: {flood.packets / flood.seconds:.0f}/s"
    )
    seen.append(settled(box))
    assert [hit.packets for hit in seen] == sorted(hit.packets for hit in seen)
    assert [hit.bytes for hit in seen] == sorted(hit.bytes for hit in seen)
    assert 0 < seen[-1].packets <= flood.packets
    assert hits(box) == seen[-1], "the rule's own counter went through the same restarts"
    box.stop()
    taken_down(street, box)


def settled(box: Box) -> Hits:
    """The count after the last packet of the flood has arrived."""
    before, now = None, dropped(box)
    while now != before:
        time.sleep(0.05)
        before, now = now, dropped(box)
    return now


def taken_down(street: Street, box: Box) -> None:
    """Run `xdpctl down`, and assert that packets arrive again."""
    net, pins = f"--net={street.server.path}", str(box.pins.directory)
    said = sh("nsenter", net, sys.executable, "-m", "xdpctl", "down", "--pin-dir", pins)
    assert "isp0" in said
    with street.sniffer(BLOCKED) as stack:
        street.send(SOURCES, 50_000)
        assert stack.count() > 0
