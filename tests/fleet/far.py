# SPDX-License-Identifier: GPL-2.0-or-later
"""A relay in user space: what passes takes half of a round-trip time in each direction."""

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.fleet.engines import free_port

_BYTES, _LOST = 1 << 16, 0.01


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, late: float) -> None:
    """Pass bytes on, each after `late` seconds, until one side ends.

    One piece of a hundred comes later, as if it was lost and sent again (RFC 6298).
    """
    loop, lost = asyncio.get_running_loop(), random.Random(1)
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        data = b"begin"
        while data:
            data = await reader.read(_BYTES)
            again = max(0.2, 3 * late) if lost.random() < _LOST else 0.0
            waiting.put_nowait((loop.time() + late + again, data))

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        data = b"begin"
        while data:
            due, data = await waiting.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            writer.write(data)
    writer.write_eof()


async def _relay(host: str, port: int, mine: int, rtt: float, stop: asyncio.Event) -> None:
    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(rtt)  # of the handshake
        there = await asyncio.open_connection(host, port)
        try:
            with suppress(OSError, ExceptionGroup):
                to, fro = _carry(reader, there[1], rtt / 2), _carry(there[0], writer, rtt / 2)
                await asyncio.gather(to, fro)
        finally:
            for each in (writer, there[1]):
                each.transport.abort()

    async with await asyncio.start_server(met, "127.0.0.1", mine) as server:
        await stop.wait()
        server.close()
        server.close_clients()


@contextmanager
def far(endpoint: str, rtt: float) -> Iterator[str]:
    """The address of a relay to an endpoint (`HOST:PORT`), `rtt` seconds away."""
    host, _, port = endpoint.rpartition(":")
    mine, ready = free_port(), threading.Event()
    found: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        found.append((asyncio.get_running_loop(), asyncio.Event()))
        ready.set()
        await _relay(host, int(port), mine, rtt, found[0][1])

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield f"127.0.0.1:{mine}"
    finally:
        loop, stop = found[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join()
