# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections that open and close leave no state behind, and their number is limited."""

import asyncio
import gc
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.security.certificates import certify
from tests.support.apiclient import TCP, Api, problem
from xdpctl.config.listen import Listen
from xdpctl_api.transport.admission import Admission, Caps
from xdpctl_api.transport.connection import Connection
from xdpctl_api.transport.listeners import listener_config
from xdpctl_api.transport.server import Server


def test_an_idle_connection_makes_room_and_a_busy_one_does_not() -> None:
    door = Admission(Caps(total=4, each=2, reserved=1))
    ended: list[str] = []
    first, second = door.enter("a"), door.enter("a")
    assert first
    assert second
    first.abort = lambda: ended.append("first")
    third = door.enter("a")
    assert third
    assert ended == ["first"]
    for ticket in (second, third):
        ticket.idle = lambda: False
    assert door.enter("a") is None
    other = door.enter("b")
    assert other
    other.idle = lambda: False
    assert door.enter("c") is None, "the remaining connections are for root"
    assert door.enter("root", privileged=True)
    third.leave()
    third.leave()
    assert door.enter("a")


def test_the_body_of_an_unauthenticated_request_is_not_waited_for(api: Api) -> None:
    """Otherwise a few addresses with endless bodies could occupy all connections."""

    async def never() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    for token in (None, "xdpctl_made_up"):
        began = time.monotonic()
        answer = api.call("POST", "/v1/rules", TCP, token, content=never())
        problem(answer, 401, "access")
        assert answer.headers["connection"] == "close"
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("secure", [False, True])
def test_a_closed_connection_leaves_nothing(tmp_path: Path, secure: bool) -> None:
    """Nothing is left to the garbage collector, which does not see the memory of TLS."""
    connections, defects = asyncio.run(_churned(tmp_path, secure, 60))
    assert connections <= 3
    assert not defects


async def _churned(place: Path, secure: bool, times: int) -> tuple[int, list[Any]]:
    """The number of connections left after many have come and gone, without a garbage collector.

    They leave before a request, after one, in the middle of one, and without a word (RST).
    """
    defects: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: defects.append(about))
    listen = Listen(socket=place / "s")
    if secure:
        certificate, key = certify(place)
        listen = Listen(host="127.0.0.1", tls_certificate=certificate, tls_key=key)
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(listener_config(_hello, False, listen), Admission(Caps(64, 64)))
    task = asyncio.create_task(server.serve([listener]))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = listener.getsockname()[:2]
    gc.collect()
    gc.disable()
    before = sum(isinstance(one, Connection) for one in gc.get_objects())
    try:
        for n in range(times):
            reader, writer = await asyncio.open_connection(
                *address, ssl=context if secure else None
            )
            if n % 4:
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await writer.drain()
            if n % 4 in (1, 2):
                assert b"200" in await reader.readline()
            if n % 4 == 2:
                peer = writer.get_extra_info("socket")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        await asyncio.sleep(6)  # longer than a connection is kept alive
        left = sum(isinstance(one, Connection) for one in gc.get_objects())
        return left - before, defects
    finally:
        gc.enable()
        server.should_exit = True
        await task


def test_a_handshake_that_makes_room_is_ended(tmp_path: Path) -> None:
    """Otherwise it would continue and be served in excess of the limit."""
    assert asyncio.run(_crowded(tmp_path)) == [True, False]


async def _crowded(place: Path) -> list[bool]:
    """Open two silent connections where one fits; return whether each was closed."""
    certificate, key = certify(place)
    listen = Listen(host="127.0.0.1", tls_certificate=certificate, tls_key=key)
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(listener_config(_hello, False, listen), Admission(Caps(1, 1)))
    task = asyncio.create_task(server.serve([listener]))
    doors = []
    for _ in range(2):
        doors.append(await asyncio.open_connection(*listener.getsockname()[:2]))
        await asyncio.sleep(0.2)
    closed = []
    for reader, writer in doors:
        try:
            closed.append(await asyncio.wait_for(reader.read(1), 1) == b"")
        except TimeoutError:
            closed.append(False)
        writer.close()
    server.should_exit = True
    await task
    return closed


async def _hello(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(0.02)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
