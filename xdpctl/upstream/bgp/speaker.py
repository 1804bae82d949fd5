# SPDX-License-Identifier: GPL-2.0-or-later
"""The control plane's side of the bridge: sends orders, and hears of sessions and routes."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from xdpctl.upstream.bgp.messages import (
    LINE_MAX,
    FromBridge,
    Order,
    Report,
    Wanted,
    from_bridge,
    line,
)

_SILENT_SECONDS, _AGAIN_SECONDS, _SEND_SECONDS = 5.0, 0.5, 2.0
log = logging.getLogger("xdpctl.upstream")


class Speaker(Protocol):
    """The interface of a BGP speaker."""

    @property
    def report(self) -> Report | None:
        """The speaker's last report on its sessions and routes; None while it does not answer."""
        ...

    def announce(self, wanted: Iterable[Wanted]) -> bool:
        """Announce exactly these routes from now on; False if the order could not be sent."""
        ...


class Bridged:
    """The speaker, over its bridge's socket. `hear` gets each message; None if it is cut off."""

    def __init__(self, path: Path, hear: Callable[[FromBridge | None], None]) -> None:
        self._path, self._hear = path, hear
        self._report: Report | None = None
        self._heard_at = 0.0
        self._connection: socket.socket | None = None
        self._sending = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bgp", daemon=True)
        self.problem = "it is not running"

    def start(self) -> None:
        """Connect, and again whenever the connection is lost."""
        self._thread.start()

    def stop(self) -> None:
        """Disconnect; what is announced stays until its time is over."""
        self._stopping.set()
        self._close()
        if self._thread.is_alive():
            self._thread.join(5)

    @property
    def report(self) -> Report | None:
        """The bridge's last report; None if there was none for five seconds."""
        silent = time.monotonic() > self._heard_at + _SILENT_SECONDS
        return None if silent else self._report

    def announce(self, wanted: Iterable[Wanted]) -> bool:
        """Send an order; False if there is no connection."""
        with self._sending:
            connection = self._connection
            if connection is None:
                return False
            try:
                connection.sendall(line(Order(list(wanted))))
            except OSError as error:  # a part of the line may be sent: begin anew
                self.problem = str(error)
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                return False
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except (OSError, ValueError) as error:
                self.problem = str(error)
            except Exception:
                log.exception("internal error while listening to the BGP speaker; it is tried anew")
            self._close()
            self._report = None
            self._hear(None)
            self._stopping.wait(_AGAIN_SECONDS)

    def _follow(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_SEND_SECONDS)
        try:
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            raise
        self._connection = connection
        for text in _lines(connection):
            message = from_bridge(text)
            if isinstance(message, Report):
                self._report, self._heard_at, self.problem = message, time.monotonic(), ""
            self._hear(message)

    def _close(self) -> None:
        with self._sending:
            connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def _lines(connection: socket.socket) -> Iterator[bytes]:
    """Lines until the other side closes; TimeoutError if it is silent for too long."""
    unread, heard_at = b"", time.monotonic()
    while True:
        try:
            data = connection.recv(64 << 10)
        except TimeoutError:
            if time.monotonic() > heard_at + _SILENT_SECONDS:
                raise TimeoutError("the bridge is silent") from None
            continue
        if not data:
            raise ConnectionError("the bridge closed the connection")
        heard_at = time.monotonic()
        *lines, unread = (unread + data).split(b"\n")
        if len(unread) > LINE_MAX:
            raise ValueError("the bridge sends no lines")
        yield from lines
