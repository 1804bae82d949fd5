"""uvicorn on two doors at once: a Unix socket for the host, TCP for the rest."""

import asyncio
import contextlib
import logging
import pwd
import signal
import socket
import ssl
import struct
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from xdpctl.config import Listen
from xdpctl_api.auth import LOCAL

_FINISH_SECONDS = 2  # for open requests, when told to stop
log = logging.getLogger("xdpctl.api")


class LocalProtocol(HttpToolsProtocol):
    """Names the peer of a Unix socket by its user, as SO_PEERCRED tells (unix(7))."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid, uid, _ = struct.unpack("3i", raw)
        try:
            name = pwd.getpwuid(uid).pw_name
        except KeyError:
            name = f"uid {uid}"
        self.client = (f"{LOCAL}{name}", pid)


class Server(uvicorn.Server):
    """One of two; signals are the entry point's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: FastAPI, local: bool, listen: Listen) -> Server:
    config = uvicorn.Config(
        app,
        http=LocalProtocol if local else HttpToolsProtocol,
        ws="none",
        lifespan="off",
        loop="uvloop",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=not local,
        timeout_graceful_shutdown=_FINISH_SECONDS,
        ssl_certfile=None if local else listen.tls_certificate,
        ssl_keyfile=None if local else listen.tls_key,
        ssl_ca_certs=None if local or not listen.tls_client_ca else str(listen.tls_client_ca),
        ssl_cert_reqs=ssl.CERT_REQUIRED if not local and listen.tls_client_ca else ssl.CERT_NONE,
    )
    return Server(config)


def _expected(record: logging.LogRecord) -> bool:
    """False for a request that was cut off by our own stop: it is no defect."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


async def serve(
    app: FastAPI,
    listen: Listen,
    local: socket.socket,
    tcp: socket.socket | None,
    stopping: Callable[[], None],
) -> None:
    """Until SIGTERM or SIGINT, which call `stopping`; open requests are given a moment."""
    servers = [(_server(app, True, listen), local)]
    if tcp:
        servers.append((_server(app, False, listen), tcp))
    loop = asyncio.get_running_loop()
    logging.getLogger("uvicorn.error").addFilter(_expected)

    def stop() -> None:
        stopping()
        for server, _ in servers:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await asyncio.gather(*(server.serve([listener]) for server, listener in servers))
