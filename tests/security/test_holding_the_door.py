# SPDX-License-Identifier: GPL-2.0-or-later
"""The bypass switch and the Unix socket work despite floods, broken detectors and hangs."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.apiclient import Api, problem
from tests.support.fakes import FakeClock, FakeDatapath, ask, controller, place
from tests.support.hooked import VICTIM, event, incidents, say
from xdpctl.control import upkeep
from xdpctl.control.store import audit
from xdpctl.detectors.registry import ADAPTERS
from xdpctl.errors import BusyError, RuleError
from xdpctl.incidents.ledger import ledger
from xdpctl.lab.box import Box
from xdpctl.lab.waits import HANG_SECONDS
from xdpctl.mitigation.guards import RateLimits
from xdpctl_api.transport.bodies import Budget
from xdpctl_api.transport.connection import _HEADER_BYTES

PORT, IDLE = 8460, 1_100


def flood(box: Box, held: ExitStack, count: int = IDLE) -> list[socket.socket]:
    """Open TCP connections that send nothing."""

    def call() -> list[socket.socket]:
        doors = []
        for _ in range(count):
            door = held.enter_context(socket.socket())
            door.settimeout(HANG_SECONDS)
            door.connect(("127.0.0.1", PORT))
            doors.append(door)
        return doors

    return box.host.call(call)


def press(box: Box, switch: str) -> tuple[float, str]:
    """Run `xdpctl bypass` as root; return the seconds that it took, and its output."""
    command = (sys.executable, "-m", "xdpctl", "--socket", str(box.socket), "bypass", switch)
    began = time.monotonic()
    done = subprocess.run(
        (*command, "--pin-dir", str(box.pins.directory)), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return time.monotonic() - began, done.stdout + done.stderr


def test_idle_connections_keep_no_caller_out(box: Box) -> None:
    box.port = PORT
    box.start()
    with ExitStack() as held:
        flood(box, held)
        assert box.client.call("GET", "/v1/status")["rules"]["total"] == 0
        _, said = press(box, "on")
        assert "everything passes" in said
        assert "not in the audit log" not in said
        (door,) = flood(box, held, 1)
        door.sendall(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        assert door.recv(100).startswith(b"HTTP/1.1 200"), "a new caller is heard, too"


def test_requests_with_half_a_header_or_half_a_body_are_ended(box: Box) -> None:
    box.port = PORT
    box.start()

    def call() -> bytes:
        with socket.create_connection(("127.0.0.1", PORT), HANG_SECONDS) as door:
            door.sendall(b"GET /healthz HTTP/1.1\r\nhost: 127.0")
            return door.recv(10)

    assert box.host.call(call) == b"", "it was closed after its deadline"


@pytest.mark.parametrize("what", ["one", "many", "endless"])
def test_the_size_of_headers_is_bounded(box: Box, what: str) -> None:
    box.start()
    lines = {
        "one": b"x: " + b"a" * (_HEADER_BYTES + 1) + b"\r\n",
        "many": b"x: a\r\n" * 200,
        "endless": b"x: " + b"a" * (4 * _HEADER_BYTES),
    }
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(HANG_SECONDS)
        door.connect(str(box.socket))
        door.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n" + lines[what] + b"\r\n\r\n")
        assert door.recv(100).startswith(b"HTTP/1.1 431")


def test_bypass_works_while_the_control_plane_hangs_and_is_not_repeated_later(box: Box) -> None:
    box.start()
    hung = box.control_plane()
    os.kill(hung, signal.SIGSTOP)
    try:
        _, said = press(box, "on")
        assert "everything passes" in said
        _, said = press(box, "off")
        assert "filtering" in said
    finally:
        os.kill(hung, signal.SIGCONT)
    assert box.client.call("GET", "/v1/status")["bypass"] is False
    time.sleep(0.5)
    assert box.client.call("GET", "/v1/bypass") == {"on": False}, (
        "an abandoned request is not executed"
    )


def test_the_total_size_of_bodies_in_transfer_is_bounded() -> None:
    budget = Budget(100)
    budget.take(60)
    with pytest.raises(BusyError):
        budget.take(41)
    budget.give(60)
    budget.take(100)


@pytest.mark.parametrize("name", ADAPTERS)
def test_bytes_that_are_not_text_are_refused_without_an_internal_error(name: str) -> None:
    for body in (b'{"\xff": 1}', b"\xff", b'{"a": "\xed\xa0\x80"}', b"[" * 100_000):
        with pytest.raises(RuleError):
            ADAPTERS[name](body)


def test_a_line_that_is_not_text_does_not_affect_other_lines(api: Api) -> None:
    alert = {"event_type": "alert", "src_ip": "203.0.113.9", "dest_ip": VICTIM}
    alert["alert"] = {"metadata": {"mitigation": ["xdp_block_src"]}}  # type: ignore[assignment]
    said = say(api, "suricata", b'{"\xff": 1}\n' + json.dumps(alert).encode())
    assert said["rules"] == ["203.0.113.9_32"]
    assert "unreadable" in said["ignored"][0]["why"]


@pytest.mark.parametrize("number", [2**63, 2**65, -1, "9" * 5000])
def test_no_number_in_a_query_causes_an_internal_error(api: Api, number: object) -> None:
    for path in (
        "/v1/audit?cursor=",
        "/v1/rules?limit=",
        "/v1/incidents?limit=",
        "/v1/audit?limit=",
    ):
        problem(api.call("GET", f"{path}{number}"), 400, "bad-request")
    cursor = f"/v1/rules?cursor=sig;-{number};0;udp"
    problem(api.call("GET", cursor), 400, "bad-request")


def test_a_ttl_of_fifty_thousand_digits_is_refused_at_once(api: Api) -> None:
    began = time.monotonic()
    for ttl in ("9" * 50_000, "1h" * 10_000, "9" * 20_000 + "s"):
        body = {"match": {"source": "203.0.113.7"}, "ttl": ttl}
        problem(api.call("POST", "/v1/rules", json=body), 400, "bad-request")
    assert time.monotonic() - began < 5


def test_ends_of_unknown_events_are_not_recorded(api: Api) -> None:
    store = api.controller.store
    before = len(store.audit(0, 5000))
    said = say(api, "event", [event(str(n), "ended") for n in range(500)])
    assert len(said["ignored"]) == 500
    assert len(store.audit(0, 5000)) == before
    assert incidents(api) == []


def test_the_number_of_events_of_a_detector_per_minute_is_bounded(api: Api) -> None:
    api.context.hooks.event_limits = RateLimits(10)
    say(api, "event", [event(str(n), "ended") for n in range(10)])
    answer = api.call("POST", "/v1/hooks/event", json=event("x", "ended"))
    problem(answer, 429, "pace")
    assert answer.headers["retry-after"]
    assert "event exceeded its limit per minute" in api.call("GET", "/v1/status").text
    api.context.hooks.byte_limits = RateLimits(10)
    answer = api.call("POST", "/v1/hooks/fastnetmon", content=b"[" + b" " * 20 + b"]")
    problem(answer, 429, "pace")


def test_invented_victims_do_not_displace_the_evidence_of_a_real_one(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "OF_DETECTOR_MAX", 5)
    (real,) = say(api, "event", event("real", victim=VICTIM, attack="udp_flood"))["incidents"]
    (rule,) = api.controller.state.incidents[real].rules
    held = api.controller.state.matches[rule.id]
    from xdpctl.abi.structs import Hits

    api.datapath.hit_values[held.slot] = Hits(5_000, 500_000).pack()
    for n in range(20):
        api.clock.advance(1)
        say(api, "event", event(f"made up {n}", victim=f"198.51.100.{n + 10}", attack="udp_flood"))
    kept = [one["id"] for one in incidents(api)]
    assert real in kept
    assert len(kept) <= 6


def test_the_audit_log_is_bounded_behind_a_signed_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_AUDIT_RECORDS", 20)
    with controller(tmp_path, FakeDatapath(), FakeClock()) as control:
        for n in range(40):
            place(control, ask(f"203.0.113.{n % 8}"))
        upkeep.trim(control._committer, lambda data: {"signature": data.hex()[:8]})
        records = control.store.audit(0, 5000)
        assert len(records) <= 18
        mark = control.state.checkpoint
        assert mark
        assert audit.verify(records).problem, (
            "without the checkpoint the chain has no valid beginning"
        )
        assert audit.verify(records, mark).problem is None
        held, signed = audit.signed_part(mark, "checkpoint")
        assert held["signature"] == signed.hex()[:8]
        assert held["records"] + len(records) >= 41
    with controller(tmp_path, FakeDatapath(), FakeClock()) as again:
        assert again.state.checkpoint == mark
        records = again.store.audit(0, 5000)
        assert audit.verify(records, again.state.checkpoint).problem is None
