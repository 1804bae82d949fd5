# SPDX-License-Identifier: GPL-2.0-or-later
"""uvicorn on its listeners: a Unix socket for local callers, TCP, and TCP for a fleet's nodes.

Connections are counted when they are accepted, before a TLS handshake, and each listener has its
own limits. So idle connections on one block neither new callers nor the other listener.
"""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import uvicorn
import uvloop
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from xdpctl.base.system import sd_notify
from xdpctl.config.listen import Listen
from xdpctl.processes.sockets import FleetListener
from xdpctl_api.transport.admission import Admission, Caps, Ticket
from xdpctl_api.transport.callers import network_of
from xdpctl_api.transport.connection import (
    Connection,
    LocalConnection,
    credentials,
)
from xdpctl_api.transport.listeners import fleet_config, listener_config

_HANDSHAKE_SECONDS = 5.0
_DESCRIPTORS = 16_384  # file descriptors, if the hard limit allows them
_OURS = 256  # of these, descriptors for maps, the store, feeds and files
_TCP, _LOCAL, _NODES = Caps(1024, 64), Caps(512, 256, reserved=128), Caps(512, 256)
_AGAIN_SECONDS = 0.1
_SWITCH_SECONDS = 0.001  # after this time, a busy thread lets another thread run
log = logging.getLogger("xdpctl.api")


def partition(fleet: bool = False) -> tuple[Caps, Caps, Caps]:
    """The caps of the listeners for TCP, local callers, and nodes of the fleet, if it has one.

    All connections together leave enough descriptors for other files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft < descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    room = max(48, max(soft, descriptors) - _OURS)
    if room >= _TCP.total + _LOCAL.total + fleet * _NODES.total:
        return _TCP, _LOCAL, _NODES
    local = min(max(32, room // 3), _LOCAL.total)
    nodes = fleet * min(max(8, room // 6), _NODES.total)
    tcp = Caps(min(room - local - nodes, _TCP.total), min(max(8, room // 16), _TCP.each))
    for_local = Caps(local, min(local // 2, _LOCAL.each), min(local // 4, _LOCAL.reserved))
    return tcp, for_local, Caps(nodes, min(max(8, nodes // 4), _NODES.each))


class Server(uvicorn.Server):
    """The server of one listener, with its own accept loop; the entry point handles signals."""

    def __init__(self, config: uvicorn.Config, admission: Admission) -> None:
        super().__init__(config)
        self.admission = admission
        self._local = config.http is LocalConnection
        self._accepting: asyncio.Task[None] | None = None
        self._opening: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.servers: list[Any] = []
        (listener,) = sockets or []
        listener.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listener))
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for task in (self._accepting, *self._opening):
            if task:
                task.cancel()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection) and connection.overdue(now):
                    connection.end()
        return await super().on_tick(counter)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError as error:  # out of descriptors or memory, or the caller disconnected
                log.error("cannot accept a connection: %s", error)
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            ticket = self._admit(connection, address)
            if ticket is None:
                connection.close()
                continue
            opening = loop.create_task(self._open(connection, ticket))
            ticket.abort = opening.cancel  # type: ignore[assignment]
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    def _admit(self, connection: socket.socket, address: Any) -> Ticket | None:
        if self._local:
            _, uid = credentials(connection)
            return self.admission.enter(uid, privileged=uid == 0)
        return self.admission.enter(network_of(address[0]))

    async def _open(self, connection: socket.socket, ticket: Ticket) -> None:
        """Do the TLS handshake, if there is one, and serve requests on the connection."""
        config = self.config

        def protocol() -> HttpToolsProtocol:
            kind: Any = config.http_protocol_class
            instance: HttpToolsProtocol = kind(
                ticket=ticket,
                config=config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )
            return instance

        more = {"ssl_handshake_timeout": _HANDSHAKE_SECONDS} if config.ssl else {}
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                protocol, connection, ssl=config.ssl, **more
            )
        except (OSError, TimeoutError):  # ssl.SSLError is an OSError
            ticket.leave()
            with suppress(OSError):
                connection.close()
        except asyncio.CancelledError:
            ticket.leave()
            raise


def _expected(record: logging.LogRecord) -> bool:
    """A log filter: False for a request that was cancelled by the stop, which is not a defect."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


async def _notify_watchdog(seconds: float, alive: Callable[[], bool]) -> None:
    """Notify the systemd watchdog periodically, while `alive` returns True."""
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, "watchdog")
    while True:  # in a thread of its own, because requests may use all other threads
        if await loop.run_in_executor(thread, alive):
            sd_notify.alive()
        await asyncio.sleep(seconds)


def _servers(
    app: ASGIApp, listen: Listen, tcp: socket.socket | None, fleet: FleetListener | None
) -> tuple[Server, list[tuple[Server, socket.socket]]]:
    """The server of the Unix socket, and the servers for the network."""
    for_tcp, for_local, for_nodes = partition(fleet is not None)
    remote = []
    if tcp:
        remote.append((Server(listener_config(app, False, listen), Admission(for_tcp)), tcp))
    if fleet:
        server = Server(fleet_config(app, fleet), Admission(for_nodes))
        remote.append((server, fleet.socket))
    return Server(listener_config(app, True, listen), Admission(for_local)), remote


async def serve(
    app: ASGIApp,
    listen: Listen,
    local: socket.socket,
    tcp: socket.socket | None,
    stopping: Callable[[], None],
    alive: Callable[[], bool] = lambda: True,
    fleet: FleetListener | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, which call `stopping`; open requests may finish briefly.

    A thread with a loop of its own serves the network, so a flood of requests from there blocks
    neither detectors nor the emergency bypass on the Unix socket.
    """
    here, remote = _servers(app, listen, tcp, fleet)
    loop = asyncio.get_running_loop()
    logging.getLogger("uvicorn.error").addFilter(_expected)
    sys.setswitchinterval(_SWITCH_SECONDS)

    def stop() -> None:
        stopping()
        for server in (here, *(server for server, _ in remote)):
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    seconds = sd_notify.watchdog_seconds()
    watchdog = loop.create_task(_notify_watchdog(seconds / 3, alive)) if seconds else None
    thread = ThreadPoolExecutor(1, "remote")
    elsewhere = loop.run_in_executor(thread, uvloop.run, _together(remote))
    serving = loop.create_task(here.serve([local]))
    try:
        both = [serving, elsewhere] if remote else [serving]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop()
        if watchdog:
            watchdog.cancel()
        await asyncio.gather(serving, elsewhere)


async def _together(servers: Sequence[tuple[Server, socket.socket]]) -> None:
    await asyncio.gather(*(server.serve([listener]) for server, listener in servers))
