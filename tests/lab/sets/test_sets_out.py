# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets of what goes out, beside real programs: whom they reach, who is told, and a kill."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.lab.behind.places import CLIENTS, OTHER, SERVER, SETTINGS, Place, place
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator, compile_generator, interface
from xdpctl.lab.namespaces import Host
from xdpctl.lab.waits import eventually

_LISTED, _ACCEPTED, _ELSEWHERE = CLIENTS[10], CLIENTS[11], CLIENTS[110]
_PORT = 8080
_SITE = "import http.server as h; h.ThreadingHTTPServer(('', 8080), h.SimpleHTTPRequestHandler).serve_forever()"  # noqa: E501


def fetches(host: Host, to: str, *more: str) -> bool:
    """Whether curl gets a page."""
    words = ("curl", "-s", "-o", "/dev/null", "--max-time", "2", *more, f"http://{to}:{_PORT}/")
    return host.popen(*words).wait() == 0


def pings(host: Host, to: str) -> bool:
    quiet: Any = {"stdout": subprocess.DEVNULL}
    return host.popen("ping", "-c", "1", "-W", "1", to, **quiet).wait() == 0


@pytest.fixture(params=["bridge", "router", "host"])
def here(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place with a web server in the world and one inside."""
    with ExitStack() as stack:
        generator = Generator(compile_generator())
        stack.callback(generator.close)
        built = stack.enter_context(place(request.param, generator.pass_fd))
        for host in (built.world, built.server):
            quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            process = host.popen("/usr/bin/python3", "-c", _SITE, **quiet)
            stack.callback(process.wait)
            stack.callback(process.kill)
        assert eventually(lambda: fetches(built.server, _ELSEWHERE))
        built.speak_from(_ELSEWHERE)
        yield built


def reached(here: Place) -> list[str]:
    """Which of three hosts outside the server reaches by curl and by ping."""
    hosts = (_LISTED, _ACCEPTED, _ELSEWHERE)
    return [to for to in hosts if fetches(here.server, to) and pings(here.server, to)]


def test_what_goes_to_listed_addresses_is_dropped_with_all_processes_dead_too(here: Place) -> None:
    box = Box(here.box, ["out0"])
    box.detects, box.settings = False, SETTINGS
    try:
        box.start()
        assert reached(here) == [_LISTED, _ACCEPTED, _ELSEWHERE]
        box.cli("allow", _ACCEPTED)
        body = {"prefixes": ["203.0.113.0/24"], "out": True, "mode": "monitor"}
        made = box.client.call("PUT", "/v1/sets/c2", json=body)
        assert made["warnings"] == []
        assert reached(here) == [_LISTED, _ACCEPTED, _ELSEWHERE]
        assert box.client.call("GET", "/v1/sets/c2")["senders"][0]["address"] == SERVER
        box.client.call("PATCH", "/v1/sets/c2", json={"mode": "enforce"})
        assert reached(here) == [_ACCEPTED, _ELSEWHERE]
        assert fetches(here.world, SERVER, "--interface", _ELSEWHERE)
        assert not fetches(here.world, OTHER, "--interface", _LISTED), "it is not answered"
        assert told(box)
        box.kill()
        assert reached(here) == [_ACCEPTED, _ELSEWHERE], "with all processes dead"
        box.start()
        assert reached(here) == [_ACCEPTED, _ELSEWHERE], "after a restart"
        sent = box.client.call("GET", "/v1/sets/c2")["senders"]
        assert {each["address"] for each in sent} == {SERVER}, "who only answers is not named"
        assert {each["mac"] for each in sent} == {mac_inside(here)}
        assert box.cli("set", "list", "c2")["out"] is True
        box.cli("set", "remove", "c2")
        assert reached(here) == [_LISTED, _ACCEPTED, _ELSEWHERE]
    finally:
        box.remove()


def mac_inside(here: Place) -> str:
    """The MAC address that is told of the server: only a bridge does not put its own there."""
    return interface(here.server, "eth0")[1] if here.kind == "bridge" else ""


def told(box: Box) -> bool:
    def says() -> bool:
        warnings = box.client.call("GET", "/v1/status")["warnings"]
        return any(each.startswith(SERVER) and "the set c2 lists" in each for each in warnings)

    return eventually(says)


def test_a_box_without_an_outside_interface_says_that_the_set_does_nothing(here: Place) -> None:
    box = Box(here.box, ["out0"])
    box.detects = False
    try:
        box.start()
        body = {"prefixes": ["203.0.113.0/24"], "out": True}
        (warning,) = box.client.call("PUT", "/v1/sets/c2", json=body)["warnings"]
        assert "none is outside" in warning
        assert reached(here) == [_LISTED, _ACCEPTED, _ELSEWHERE]
    finally:
        box.remove()
