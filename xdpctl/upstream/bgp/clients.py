# SPDX-License-Identifier: GPL-2.0-or-later
"""The bridge's socket: who may connect, what is written to them, and the lines that they write."""

import selectors
import socket
import struct
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from xdpctl.upstream.bgp.messages import LINE_MAX

_MOST, _UNREAD_MAX = 4, 16 << 20  # clients, and bytes that a client has not read
_CHUNK = 64 << 10
_CREDENTIALS = struct.Struct("3i")  # SO_PEERCRED: process, user, group


class _Client:
    """A connection; its file descriptor is -1 once it is closed."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.read, self.unsent = connection, b"", b""

    @property
    def closed(self) -> bool:
        """Whether the connection is closed."""
        return self.connection.fileno() < 0


class Clients:
    """Serves a Unix socket for some users, by a selector that somebody else runs.

    `greet` makes what a new client gets first, `hear` takes each line of a client. A client that
    does not read is dropped, so that nobody waits for it.
    """

    def __init__(
        self,
        path: Path,
        users: Collection[int],
        selector: selectors.BaseSelector,
        greet: Callable[[], Iterable[bytes]],
        hear: Callable[[bytes], None],
    ) -> None:
        self._users, self._selector, self._greet, self._hear = users, selector, greet, hear
        self._clients: dict[int, _Client] = {}
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o660)
        self._listener.listen(_MOST)
        self._listener.setblocking(False)
        selector.register(self._listener, selectors.EVENT_READ)

    def tell(self, data: bytes) -> None:
        for client in list(self._clients.values()):
            client.unsent += data
            if len(client.unsent) > _UNREAD_MAX:
                self._drop(client)
            else:
                self._send(client)

    def serve(self, fd: int, events: int) -> None:
        """Handle the selector's events for a file descriptor; ignore one that is not ours."""
        if fd == self._listener.fileno():
            self._accept()
        elif client := self._clients.get(fd):  # the client may have been dropped just now
            self._serve(client, events)

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        credentials = connection.getsockopt(
            socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
        )
        _, user, _ = _CREDENTIALS.unpack(credentials)
        if user not in self._users or len(self._clients) >= _MOST:
            connection.close()
            return
        connection.setblocking(False)
        client = self._clients[connection.fileno()] = _Client(connection)
        self._selector.register(connection, selectors.EVENT_READ)
        client.unsent = b"".join(self._greet())
        self._send(client)

    def _serve(self, client: _Client, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._send(client)
        if not events & selectors.EVENT_READ or client.closed:
            return
        try:
            data = client.connection.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, client.read = (client.read + data).split(b"\n")
        if not data or len(client.read) > LINE_MAX:
            self._drop(client)
            return
        for line in lines:
            self._hear(line)

    def _send(self, client: _Client) -> None:
        if client.closed:
            return
        try:
            sent = client.connection.send(client.unsent) if client.unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(client)
            return
        client.unsent = client.unsent[sent:]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.unsent else 0)
        self._selector.modify(client.connection, events)

    def _drop(self, client: _Client) -> None:
        if client.closed:
            return
        self._selector.unregister(client.connection)
        self._clients.pop(client.connection.fileno(), None)
        client.connection.close()
