# SPDX-License-Identifier: GPL-2.0-or-later
"""A real resolver loses no query while the queries of others are challenged."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import need
from tests.lab.behind.floods import flooding
from tests.lab.behind.places import CLIENTS, CLIENTS6, SETTINGS, SETTINGS6, place
from tests.lab.behind.resolver import ZONE, Resolver, ask, has_address, is_truncated, resolving
from tests.lab.conftest import generator
from tests.lab.questions import counted
from xdpctl.abi.constants import Reason
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator
from xdpctl.lab.waits import eventually

__all__ = ["generator"]
_NAMES = 100


@contextmanager
def challenged(
    kind: str, generator: Generator, folder: Path, six: bool = False
) -> Iterator[tuple[Box, Resolver]]:
    """A box in front of a name server, with a challenge for what it is asked over UDP."""
    need(bool(shutil.which("unbound") and shutil.which("nsd")), "unbound and nsd")
    with place(kind, generator.pass_fd) as here:
        if six:
            here.add_six()
        box = Box(here.box, ["out0"])
        box.detects, box.settings = False, SETTINGS6 if six else SETTINGS
        try:
            box.start()
            with resolving(here, folder, six) as resolver:
                match = f"dst {resolver.server} udp dst-port 53"
                rule = {"match": match, "action": "challenge"}
                box.client.call("POST", "/v1/rules", json=rule)
                yield box, resolver
        finally:
            box.remove()


@pytest.mark.parametrize("kind", ["bridge", "router", "host"])
def test_a_resolver_loses_no_query_in_a_flood_of_forged_ones(
    generator: Generator, tmp_path: Path, kind: str
) -> None:
    with challenged(kind, generator, tmp_path) as (box, resolver):
        with flooding(resolver.place, generator, "DNS", 100_000):
            assert eventually(lambda: counted(box, Reason.CHALLENGED) > 50_000)
            waits = [resolver.ask() for _ in range(_NAMES)]
        assert all(wait is not None for wait in waits), waits
        status = box.client.call("GET", "/v1/status")["challenges"]
        assert status["right"] >= 1
        assert status["sent"] > 50_000
        assert counted(box, Reason.FAULT) == 0


def test_a_challenge_and_a_guard_hold_with_all_processes_dead(
    generator: Generator, tmp_path: Path
) -> None:
    response = bytes((0, 7, 0x81, 0x80, 0, 1)) + bytes(6)

    def send_responses() -> None:
        for _ in range(_NAMES):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.bind((CLIENTS[50], 0))
                client.sendto(response, (resolver.server, 53))

    with challenged("bridge", generator, tmp_path) as (box, resolver):
        box.cli("guard", "dns", resolver.server)
        with flooding(resolver.place, generator, "DNS", 100_000):
            assert eventually(lambda: counted(box, Reason.CHALLENGED) > 50_000)
            box.kill()
            waits = [resolver.ask() for _ in range(_NAMES)]
            resolver.place.world.call(send_responses)
            box.start()
            waits += [resolver.ask() for _ in range(_NAMES)]
        assert all(wait is not None for wait in waits), waits
        hits = {rule["reason"]: rule["packets"] for rule in box.cli("list", "--tag", "guard-dns")}
        assert hits.pop("dns: a response") > 0.8 * _NAMES, "its trial lets a few pass"
        assert set(hits.values()) == {0}
        assert counted(box, Reason.FAULT) == 0


@pytest.mark.parametrize("six", [False, True])
def test_who_has_come_by_tcp_is_answered_over_udp(
    generator: Generator, tmp_path: Path, six: bool
) -> None:
    first, other = (CLIENTS6 if six else CLIENTS)[:2]
    with challenged("bridge", generator, tmp_path, six) as (_, resolver):

        def answer(client: str) -> bytes:
            return ask(resolver.place.world, (resolver.server, 53), f"pupil.{ZONE}", client)[0]

        assert is_truncated(answer(first))
        assert resolver.ask() is not None, "the resolver comes by TCP, from the first address"
        assert has_address(answer(first))
        assert not is_truncated(answer(first))
        assert is_truncated(answer(other)) or six, "of IPv6 a /64 is one source"
