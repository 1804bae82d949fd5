# SPDX-License-Identifier: GPL-2.0-or-later
"""The server with both of its listeners, in a thread."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from starlette.types import ASGIApp

from xdpctl.config.listen import Listen
from xdpctl_api.transport.admission import Admission, Caps
from xdpctl_api.transport.listeners import listener_config
from xdpctl_api.transport.server import Server


class Doors(NamedTuple):
    """Where the API is reached: a URL, and a path of a Unix socket."""

    url: str
    local: Path


@contextmanager
def served(app: ASGIApp, folder: Path) -> Iterator[Doors]:
    """Serve an application on TCP and on a Unix socket in a folder."""
    listen = Listen(socket=folder / "api.sock")
    remote = socket.create_server(("127.0.0.1", 0))
    local = socket.socket(socket.AF_UNIX)
    local.bind(str(listen.socket))
    local.listen()
    listeners = {False: remote, True: local}
    servers = {
        is_local: Server(listener_config(app, is_local, listen), Admission(Caps(16, 16)))
        for is_local in listeners
    }

    async def serve() -> None:
        await asyncio.gather(*(servers[key].serve([listeners[key]]) for key in listeners))

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        yield Doors(f"http://127.0.0.1:{remote.getsockname()[1]}", listen.socket)
    finally:
        for server in servers.values():
            server.should_exit = True
        thread.join()
