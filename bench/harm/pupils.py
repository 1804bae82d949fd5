# SPDX-License-Identifier: GPL-2.0-or-later
"""600 pupils reload one page of a server that is at its limit or hangs."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np
from numpy.typing import NDArray

from bench.detection.live import Counters, Scene
from tests.lab.behind.places import CLIENTS, SERVER
from xdpctl.abi.constants import KEPT_OUT, Reason

_PORT, _PUPILS = 8_081, 600
_PATIENCE = 5.0  # in which a page must be there
_QUICK, _BESIDE = 1e6, 3.0
_AGAIN = 1.0  # who got it, or gave up, asks again
_REQUEST = b"GET /class HTTP/1.1\r\nHost: school\r\nUser-Agent: CrOS\r\n\r\n"
_SERVER = """
import asyncio, sys
page = b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\nConnection: close\\r\\n\\r\\nclass"
alone = asyncio.Lock()

async def serve(reader, writer):
    try:
        if await reader.read(4096):
            async with alone:
                await asyncio.sleep(float(sys.argv[3]))
            writer.write(page)
        writer.close()
        await writer.wait_closed()
    except OSError:
        return  # he has given up

async def main():
    server = await asyncio.start_server(serve, sys.argv[1], int(sys.argv[2]), backlog=256)
    print("ready", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


@contextmanager
def _serving(scene: Scene, a_second: float) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server with this number of pages a second and a backlog of 256 connections."""
    words = ("/usr/bin/python3", "-c", _SERVER, SERVER, str(_PORT), str(1 / a_second))
    with scene.place.server.popen(*words, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


async def _page(source: str) -> bool:
    writer = None
    try:
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection(SERVER, _PORT, local_addr=(source, 0))
            writer.write(_REQUEST)
            return b"class" in await reader.read()
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()


async def _class(seconds: float) -> tuple[int, int]:
    """The number of pages served in time, and the number requested."""
    until, served, asked = time.monotonic() + seconds, 0, 0

    async def pupil(number: int) -> None:
        nonlocal served, asked
        await asyncio.sleep(number / _PUPILS)
        while time.monotonic() < until:
            asked += 1
            page = await _page(CLIENTS[number % len(CLIENTS)])  # others count meanwhile
            served += page
            await asyncio.sleep(_AGAIN)

    await asyncio.gather(*map(pupil, range(_PUPILS)))
    return served, asked


def _ask(scene: Scene, seconds: float) -> tuple[int, int]:
    return scene.place.world.call(lambda: asyncio.run(_class(seconds)))


def _let_in(scene: Scene, seconds: float) -> float:
    """The share of the pupils' packets that the box lets in, while they ask.

    What comes from others is measured before, and taken off.
    """
    with closing(Counters(scene.box)) as counters:
        first = _counted(counters)
        time.sleep(_BESIDE)
        before, began = _counted(counters), time.monotonic()
        _ask(scene, seconds)
        after = _counted(counters)
    came, kept_out = after - before - (before - first) / _BESIDE * (time.monotonic() - began)
    return float(1 - max(kept_out, 0.0) / max(came, 1.0))


def _counted(counters: Counters) -> NDArray[np.int64]:
    every = [reason for reason in Reason if reason is not Reason.NONE]
    return np.array([counters.read(*every), counters.read(*KEPT_OUT)])


def asked_of_a_server_at_its_limit(scene: Scene) -> float:
    """The server serves 60 of up to 600 requested pages a second; a pupil waits 5 s at most."""
    with _serving(scene, 60.0):
        return _let_in(scene, 30.0)


def asked_of_a_server_that_hangs(scene: Scene) -> float:
    """The server answers nothing."""
    with _serving(scene, _QUICK) as server:
        server.send_signal(signal.SIGSTOP)
        return _let_in(scene, 20.0)


def served_after_an_outage(scene: Scene) -> float:
    """The server hangs for 20 s and then serves all; the share of pages that arrive in time."""
    with _serving(scene, _QUICK) as server:
        _ask(scene, 5.0)
        server.send_signal(signal.SIGSTOP)
        _ask(scene, 20.0)
        server.send_signal(signal.SIGCONT)
        time.sleep(1.0)
        served, pages = _ask(scene, 15.0)
        return served / pages
