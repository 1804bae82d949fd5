# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge as a process, between a speaker simulated by the test and the real client."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.upstream import PEER
from xdpctl.lab.waits import eventually
from xdpctl.model.route import Blackhole, Flow
from xdpctl.upstream.bgp.messages import FromBridge, PeerRoute, Received, Report, Wanted, line
from xdpctl.upstream.bgp.setup import Limits, Setup
from xdpctl.upstream.bgp.speaker import Bridged
from xdpctl.upstream.bgp.syntax import said

HOST = PEER["address"]
FLOW = PeerRoute(HOST, Flow("dst 198.51.100.7 udp"))
HOLE = PeerRoute(HOST, Blackhole("198.51.100.7", "192.0.2.2", ("65535:666", "no-export")))


class Played:
    """Starts the bridge, as ExaBGP does, and answers its commands."""

    def __init__(self, folder: Path, users: tuple[int, ...] = (0,)) -> None:
        self.folder, self.said = folder, list[str]()
        self.announced: set[str] = set()
        setup = Setup(
            peers={HOST: Limits(kept=100, most=5)},
            own=["198.51.100.0/24"],
            socket=str(folder / "bridge.sock"),
            state=str(folder / "announced.json"),
            beats=str(folder / "beats.sock"),
            users=list(users),
        )
        (folder / "setup.json").write_bytes(line(setup))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        setup = str(self.folder / "setup.json")
        words = [sys.executable, "-m", "xdpctl.upstream.bgp.bridge", setup]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(words, stdin=pipe, stdout=pipe, env={"PATH": "/usr/bin"})
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        self.unread = b""

    def write(self, data: bytes) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(data + b"\n")
        self.process.stdin.flush()

    def serve(self, answer: bool = True) -> None:
        """Handle the bridge's commands, as ExaBGP does."""
        assert self.process is not None
        assert self.process.stdout is not None
        *lines, self.unread = (self.unread + (self.process.stdout.read() or b"")).split(b"\n")
        for each in lines:
            self._do(each.decode())
            self.write(b"done" if answer else b"error")

    def _do(self, command: str) -> None:
        self.said.append(command)
        if command == "clear adj-rib out":
            self.announced.clear()
        elif command == "show adj-rib out":
            for _ in self.announced:
                self.write(f"{HOST} ipv4 flow x".encode())
        elif " announce route-refresh " not in command:
            _, _, verb, what = command.split(" ", 3)
            (self.announced.add if verb == "announce" else self.announced.discard)(what)

    def serving(self, what: Callable[[], Any]) -> Any:
        def both() -> Any:
            self.serve()
            return what()

        return eventually(both)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()
            self.process = None


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Played]:
    made = Played(tmp_path, (os.getuid(),))
    made.start()
    yield made
    made.kill()


@pytest.fixture
def heard() -> list[FromBridge | None]:
    return []


@pytest.fixture
def client(played: Played, heard: list[FromBridge | None]) -> Iterator[Bridged]:
    made = Bridged(played.folder / "bridge.sock", heard.append)
    made.start()
    played.serving(lambda: made.report)
    yield made
    made.stop()


def test_the_bridge_announces_and_withdraws_what_is_wanted(played: Played, client: Bridged) -> None:
    assert played.serving(lambda: client.announce([Wanted(FLOW, 60), Wanted(HOLE, 60)]))
    played.serving(lambda: len(played.announced) == 2)
    told = played.serving(lambda: client.report.told if client.report else [])
    assert {each.route for each in told} <= {FLOW, HOLE}
    client.announce([Wanted(HOLE, 60)])
    played.serving(lambda: played.announced == {said(HOLE.route)})
    client.announce([])
    played.serving(lambda: not played.announced)
    assert played.said[0] == "clear adj-rib out"


def test_a_route_that_nobody_renews_ends_by_itself(played: Played, client: Bridged) -> None:
    client.announce([Wanted(FLOW, 0.5)])
    played.serving(lambda: played.announced)
    client.stop()
    played.serving(lambda: not played.announced)


def test_after_sigkill_the_bridge_announces_routes_with_time_left(
    played: Played, client: Bridged
) -> None:
    client.announce([Wanted(FLOW, 60), Wanted(HOLE, 0.6)])
    played.serving(lambda: len(played.announced) == 2)
    played.kill()
    client.stop()
    time.sleep(0.7)
    played.said.clear()
    played.start()
    played.serving(lambda: "show adj-rib out" in played.said)
    assert played.said[0] == "clear adj-rib out"
    assert played.announced == {said(FLOW.route)}


def test_routes_of_another_boot_are_forgotten(played: Played, client: Bridged) -> None:
    client.announce([Wanted(FLOW, 60)])
    played.serving(lambda: played.announced)
    played.kill()
    path = played.folder / "announced.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"boot": "another"}))
    played.said.clear()
    played.start()
    played.serving(lambda: "show adj-rib out" in played.said)
    assert not played.announced


@pytest.mark.parametrize("content", ["", "{", "[]", '{"boot": 1, "kept": 2}', "x" * 100_000])
def test_a_damaged_file_is_reported_and_nothing_is_announced(
    tmp_path: Path, content: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "announced.json").write_text(content)
    played = Played(tmp_path)
    played.start()
    try:
        played.serving(lambda: "show adj-rib out" in played.said)
        assert not played.announced
        assert "what was announced cannot be read" in capfd.readouterr().err
    finally:
        played.kill()


def test_a_speaker_with_routes_that_nobody_wants_is_corrected(
    played: Played, client: Bridged
) -> None:
    client.announce([Wanted(FLOW, 600)])
    played.serving(lambda: played.announced)
    played.announced.add("route 203.0.113.7/32")
    played.said.clear()

    def again() -> bool:
        return "clear adj-rib out" in played.said and played.announced == {said(FLOW.route)}

    def both() -> bool:
        played.serve()
        return again()

    eventually(both)


def test_commands_of_another_user_are_ignored(tmp_path: Path) -> None:
    played = Played(tmp_path, (12345,))
    played.start()
    try:
        played.serving(lambda: (tmp_path / "bridge.sock").exists())
        client = Bridged(tmp_path / "bridge.sock", lambda _: None)
        client.start()
        played.serving(lambda: "closed" in client.problem or "reset" in client.problem.lower())
        assert client.report is None
        client.stop()
    finally:
        played.kill()


def test_routes_of_peers_are_also_sent_to_clients_that_connect_later(
    played: Played, client: Bridged, heard: list[FromBridge | None]
) -> None:
    route = {"destination-ipv4": ["198.51.100.7/32"], "string": "flow x"}
    update = {"update": {"attribute": {}, "announce": {"ipv4 flow": {"no-nexthop": [route]}}}}
    neighbor = {"address": {"peer": HOST}, "message": update}
    played.write(json.dumps({"type": "update", "neighbor": neighbor}).encode())
    played.serving(lambda: any(isinstance(each, Received) for each in heard))
    later: list[FromBridge | None] = []
    second = Bridged(played.folder / "bridge.sock", later.append)
    second.start()
    played.serving(lambda: len([each for each in later if each is not None]) >= 4)
    kinds = [type(each).__name__ for each in later if not isinstance(each, Report)]
    assert kinds[:3] == ["Anew", "Received", "Whole"]
    second.stop()


@pytest.mark.parametrize("noise", [b"", b"garbage", b"{", b'{"type": "update"}', b"\xff" * 3000])
def test_unexpected_output_of_the_speaker_does_not_end_the_bridge(
    played: Played, client: Bridged, noise: bytes
) -> None:
    played.write(noise)
    client.announce([Wanted(FLOW, 60)])
    played.serving(lambda: played.announced)


def test_a_hanging_launcher_does_not_block_the_bridge(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unread:
        unread.bind(str(tmp_path / "beats.sock"))
        for _ in range(1_000):  # its queue is full
            try:
                unread.setblocking(False)
                unread.sendto(b"1", str(tmp_path / "beats.sock"))
            except BlockingIOError:
                break
        played = Played(tmp_path, (os.getuid(),))
        played.start()
        client = Bridged(tmp_path / "bridge.sock", lambda _: None)
        client.start()
        try:
            played.serving(lambda: client.report)
            client.announce([Wanted(FLOW, 2)])
            played.serving(lambda: played.announced)
            played.serving(lambda: not played.announced)
        finally:
            client.stop()
            played.kill()


def test_a_withdrawn_route_stays_withdrawn_if_the_file_cannot_be_written(
    played: Played, client: Bridged
) -> None:
    client.announce([Wanted(FLOW, 600)])
    played.serving(lambda: played.announced)
    (played.folder / "announced.new").mkdir()  # as if the disk were full
    client.announce([])
    played.serving(lambda: not played.announced)
    played.serving(lambda: client.report and "cannot be written" in client.report.problem)
    assert not (played.folder / "announced.json").exists()
    (played.folder / "announced.new").rmdir()
    played.serving(lambda: client.report and not client.report.problem)


def test_the_bridge_ends_with_its_speaker(played: Played) -> None:
    assert played.process is not None
    assert played.process.stdin is not None
    played.serve()
    played.process.stdin.close()
    assert played.process.wait() == 0
