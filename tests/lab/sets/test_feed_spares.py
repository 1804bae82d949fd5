# SPDX-License-Identifier: GPL-2.0-or-later
"""A feed that begins to list people spares those in conversation, and reports them."""

import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from tests.lab.behind.people import PORT, Server, Sessions
from tests.lab.behind.places import CLIENTS, SERVER, SETTINGS, place
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator, compile_generator
from xdpctl.lab.waits import eventually

_LISTED, _OTHER = CLIENTS[40], CLIENTS[140]
_OUTSIDE_PORT = 8443
_FEED = {"feed": {"file": "bad.txt"}, "allow_private": True}


def _feeds(box: Box, listed: str) -> str:
    lists = box.directory / "lists"
    lists.mkdir()
    (lists / "bad.txt").write_text(f"{listed}\n")
    return f'[feeds]\ndirectory = "{lists}"\n'


def _spared(box: Box) -> dict[str, Any]:
    return box.client.call("GET", "/v1/sets/bad")["spared"] or {"sources": 0}


def begins(source: str, to: tuple[str, int]) -> Callable[[], bool]:
    def connect() -> bool:
        try:
            socket.create_connection(to, 2.0, (source, 0)).close()
        except TimeoutError:
            return False
        return True

    return connect


def test_a_feed_spares_conversations_and_reports_them() -> None:
    with (
        closing(Generator(compile_generator())) as generator,
        place("bridge", generator.pass_fd) as here,
    ):
        box = Box(here.box, ["out0"])
        box.detects = False
        try:
            box.settings = SETTINGS + _feeds(box, "203.0.113.0/24")
            box.start()
            listener = here.world.call(lambda: socket.create_server(("", _OUTSIDE_PORT)))
            with listener, closing(Server(here)), closing(Sessions(here, 8)) as sessions:
                assert sessions.all_answer()
                made = box.client.call("PUT", "/v1/sets/bad", json=_FEED)
                assert made["spare"] == "known"
                assert sessions.all_answer(), "who is in conversation is spared"
                assert not here.world.call(begins(_LISTED, (SERVER, PORT)))
                assert here.world.call(begins(_OTHER, (SERVER, PORT)))
                asked = begins(SERVER, (_LISTED, _OUTSIDE_PORT))
                assert here.server.call(asked), "the inside may begin"
                assert eventually(lambda: _spared(box)["sources"] >= 8)
                assert set(_spared(box)["examples"]) <= {*CLIENTS[:8], _LISTED}
                warnings = box.client.call("GET", "/v1/status")["warnings"]
                assert any("the set bad lists " in warning for warning in warnings)
        finally:
            box.remove()


@pytest.mark.parametrize("more", [{"action": "accept"}, {"spare": "none"}])
def test_sets_that_accept_or_are_told_to_spare_nobody_spare_nobody(
    fed_box: Box, more: dict[str, str]
) -> None:
    made = fed_box.client.call("PUT", "/v1/sets/other", json={**_FEED, **more})
    assert made["spare"] == "none"


@pytest.fixture
def fed_box(street_box: Box) -> Box:
    street_box.settings = _feeds(street_box, "198.51.100.0/24")
    street_box.start()
    return street_box
