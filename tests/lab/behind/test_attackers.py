# SPDX-License-Identifier: GPL-2.0-or-later
"""A server inside attacks others beside people: it is told or limited, and people lose nothing."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.behind.people import Conversations, Server, Sessions
from tests.lab.behind.places import CLIENTS, SERVER, SETTINGS, Place, place
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator, compile_generator, interface
from xdpctl.lab.namespaces import Host
from xdpctl.lab.waits import eventually

_VICTIM, _SITE = CLIENTS[90], CLIENTS[110]
_PORT, _BYTES = 8080, 20_000_000
_WEB = """
import http.server as h
class Web(h.SimpleHTTPRequestHandler):
    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        while left > 0: left -= len(self.rfile.read(min(left, 65536)))
        self.send_response(204); self.end_headers()
h.ThreadingHTTPServer(("", 8080), Web).serve_forever()
"""
_ATTACK = """
import socket, sys, time
what, pps, seconds, victim, *hosts = sys.argv[1:]
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
began, sent = time.monotonic(), 0
while (now := time.monotonic() - began) < float(seconds):
    while sent < int(pps) * now:
        sent += 1
        if what == "flood":
            udp.sendto(bytes(512), (victim, 9000))
            continue
        with socket.socket() as connection:
            connection.setblocking(False)
            connection.connect_ex((hosts[sent % len(hosts)], 23))
    time.sleep(0.005)
"""
_COUNT = """
import socket, sys, time
victim, seconds = sys.argv[1:]
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
udp.bind((victim, 9000))
udp.settimeout(0.1)
ends, came = time.monotonic() + float(seconds), 0
while time.monotonic() < ends:
    try:
        came += len(udp.recv(2048)) > 0
    except TimeoutError:
        pass
print(came)
"""
_LOOKS_SECONDS = 16.0  # a window of ten seconds, and looks each five
_MOST_SECONDS = 120  # of an attack
_COUNTED_SECONDS = 3
_LIMITS = "[detect]\nattackers_pps = 10\n"
_FLOOD_PPS, _SCAN_PPS, _LIMITED_PPS = 9_000, 60, 30


@pytest.fixture(params=["bridge", "host"])
def here(request: pytest.FixtureRequest) -> Iterator[Place]:
    with ExitStack() as stack:
        generator = Generator(compile_generator())
        stack.callback(generator.close)
        built = stack.enter_context(place(request.param, generator.pass_fd))
        quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = built.world.popen("/usr/bin/python3", "-c", _WEB, **quiet)
        stack.callback(process.wait)
        stack.callback(process.kill)
        yield built


class Work:
    """What the server inside does outside: uploads, pages by new connections, and pings."""

    def __init__(self, place: Place, file: Path) -> None:
        self._server, self._stop = place.server, threading.Event()
        self.done, self.failed = dict[str, int](), list[str]()
        upload = ("curl", "-sf", "-T", str(file), f"http://{_SITE}:{_PORT}/file")
        page = ("curl", "-sf", "-o", "/dev/null", f"http://{_SITE}:{_PORT}/")
        ping = ("ping", "-c", "20", "-i", "0.02", "-W", "2", _SITE)
        self._threads = [
            threading.Thread(target=self._again, args=(words,)) for words in (upload, page, ping)
        ]
        for thread in self._threads:
            thread.start()

    def _again(self, words: tuple[str, ...]) -> None:
        quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        name = " ".join(words[:3])
        while not self._stop.is_set():
            if self._server.popen(*words, **quiet).wait():
                self.failed.append(name)
            self.done[name] = self.done.get(name, 0) + 1

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def sending(host: Host, program: str, *words: str) -> Iterator[None]:
    """Run a Python program on a host, and end it."""
    process = host.popen("/usr/bin/python3", "-c", program, *words)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def attacking(host: Host, send: str, pps: int) -> AbstractContextManager[None]:
    """Run a program that sends at a rate, for some seconds at most."""
    return sending(host, _ATTACK, send, str(pps), str(_MOST_SECONDS), _VICTIM, *CLIENTS)


def arriving(host: Host) -> float:
    """How many packets a second of the flood arrive at the victim."""
    words = "/usr/bin/python3", "-c", _COUNT, _VICTIM, str(_COUNTED_SECONDS)
    process = host.popen(*words, stdout=subprocess.PIPE)
    return int(process.communicate()[0]) / _COUNTED_SECONDS


@pytest.mark.parametrize("here", ["bridge", "router"], indirect=True)
def test_a_server_that_attacks_is_limited_and_all_else_of_it_goes_out(
    here: Place, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(bytes(_BYTES))
    box = Box(here.box, ["out0"])
    box.detects, box.settings = True, SETTINGS + _LIMITS
    with ExitStack() as people:
        try:
            box.start()
            work = Work(here, tmp_path / "file")
            people.callback(work.close)
            people.enter_context(attacking(here.server, "flood", _FLOOD_PPS))

            def limits() -> list[str]:
                return [each["text"] for each in box.cli("attackers", "list")["limits"]]

            assert eventually(limits)
            assert limits() == [f"{SERVER} is limited to 10 UDP packets a second to {_VICTIM}"]
            assert arriving(here.world) < _LIMITED_PPS
            box.kill()
            assert arriving(here.world) < _LIMITED_PPS, "with all processes dead"
            box.start()
            assert arriving(here.world) < _LIMITED_PPS, "after a restart"
            assert eventually(limits)
            before = dict(work.done)
            assert len(before) == 3
            assert eventually(lambda: all(work.done[name] > before[name] for name in before))
            assert work.failed == []
            assert len(box.cli("audit", "--action", "host.limit")) == 1
            released = box.cli("attackers", "release", SERVER)
            assert len(released["limits"]) == 1
            assert arriving(here.world) > _FLOOD_PPS / 3, "it is released"
        finally:
            box.remove()


def test_a_server_that_attacks_is_told_and_people_beside_it_are_not(
    here: Place, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(bytes(_BYTES))
    box = Box(here.box, ["out0"])
    box.detects, box.settings = True, SETTINGS
    with ExitStack() as people:
        try:
            box.start()

            def told() -> dict[str, dict[str, Any]]:
                answer = box.client.call("GET", "/v1/attackers")["attackers"]
                return {each["does"]: each for each in answer}

            server = Server(here)
            people.callback(server.close)
            sessions = Sessions(here, 50)
            people.callback(sessions.close)
            talks = Conversations(here)
            people.callback(talks.close)
            work = Work(here, tmp_path / "file")
            people.callback(work.close)
            time.sleep(_LOOKS_SECONDS)  # that nothing is told has no event to wait for
            assert told() == {}, "people are accused"
            with attacking(here.server, "flood", _FLOOD_PPS):
                assert eventually(lambda: "floods" in told())
            with attacking(here.server, "scan", _SCAN_PPS):
                assert eventually(lambda: "scans" in told())
            found = told()
            assert set(found) == {"floods", "scans"}
            assert {each["address"] for each in found.values()} == {SERVER}
            mac = interface(here.server, "eth0")[1] if here.kind == "bridge" else ""
            assert {each["mac"] for each in found.values()} == {mac}
            assert found["floods"]["destination"] == _VICTIM
            assert found["scans"]["port"] == 23
            warnings = box.client.call("GET", "/v1/status")["warnings"]
            assert {each["text"] for each in found.values()} <= set(warnings)
            assert len(box.cli("audit", "--action", "host.attacks")) == 2
            assert work.failed == []
            assert all(work.done.get(name) for name in work.done)
            assert not sessions.broken
        finally:
            box.remove()
