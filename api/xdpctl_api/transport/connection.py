# SPDX-License-Identifier: GPL-2.0-or-later
"""One HTTP connection, with limits on the size of its header and on time."""

import asyncio
import pwd
import select
import socket
import struct
from collections.abc import Mapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from xdpctl.fleet.intent import STATES
from xdpctl_api.transport.admission import Ticket

GONE = "xdpctl.gone"  # in the scope: a function that returns whether the caller has disconnected
_HEADER_SECONDS = 10.0  # from waiting for the first byte to the end of the header
_BODY_SECONDS, _BODY_RATE = 30.0, 16 * 1024  # for a body; one second more for so many bytes
_READER_SECONDS = 60.0  # a caller may leave an answer unread for so long
_URL_MAX, _HEADERS_MAX, _HEADER_BYTES = 8 << 10, 100, 32 << 10


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with limits; the server calls `overdue` once a second."""

    def __init__(self, ticket: Ticket, **more: Any) -> None:
        super().__init__(**more)
        self._ticket = ticket
        self._header_since: float | None = self.loop.time()
        self._header_bytes = self._body_bytes = 0
        self._body_since: float | None = None
        self._unread_since: float | None = None
        self._lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # replaces the accept loop's functions, which were used during the TLS handshake
        self._ticket.idle, self._ticket.abort = self._idle, self._abort

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._ticket.leave()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._drop_references()

    def on_response_complete(self) -> None:
        if not self._lost:
            super().on_response_complete()

    def _drop_references(self) -> None:
        """Break reference cycles: TLS holds memory that the garbage collector does not see."""
        self.cycle = self.flow = self.parser = None  # type: ignore[assignment]
        self.pipeline.clear()
        self.scope = {}  # type: ignore[typeddict-item]
        self.transport = None  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        in_header = self._header_since is not None
        super().data_received(data)
        if in_header and self._header_since is not None:
            self._header_bytes += len(data)
            if self._header_bytes > _HEADER_BYTES:
                self._refuse()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[GONE] = self.gone  # type: ignore[literal-required]
        if self._header_since is None:
            self._header_since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > _URL_MAX:
            self._refuse()

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        size = sum(len(key) + len(text) for key, text in self.headers)
        if len(self.headers) > _HEADERS_MAX or size > _HEADER_BYTES:
            self._refuse()

    def on_headers_complete(self) -> None:
        self._header_since, self._header_bytes = None, 0
        self._body_since, self._body_bytes = self.loop.time(), 0
        if not self.transport.is_closing():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self.cycle is not None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._body_since = None
        if self.cycle is not None:
            super().on_message_complete()

    def overdue(self, now: float) -> bool:
        """Whether this connection has exceeded a time limit; `now` is in seconds of the loop."""
        if self._header_since is not None and now - self._header_since > _HEADER_SECONDS:
            return True
        if self.flow is None:
            return False
        if self._body_since is not None and self.flow.read_paused:
            self._body_since = now  # the server is slow to read, not the caller to send
        elif self._body_since is not None:
            allowed = _BODY_SECONDS + self._body_bytes / _BODY_RATE
            if now - self._body_since > allowed:
                return True
        if not self.flow.write_paused:
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        return self._unread_since is not None and now - self._unread_since > _READER_SECONDS

    def gone(self) -> bool:
        """Whether the caller has disconnected. The kernel knows this before the event loop does."""
        peer = None if self._lost else self.transport.get_extra_info("socket")
        if peer is None or peer.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(peer.fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def end(self) -> None:
        """Close at once, without sending pending data."""
        self._abort()

    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _abort(self) -> None:
        self._ticket.leave()
        if self.transport is not None:
            self.transport.abort()

    def _refuse(self) -> None:
        """Answer 431 (RFC 6585 section 5) and close, without reading on."""
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
                b"content-length: 0\r\nconnection: close\r\n\r\n"
            )
            self.transport.close()


class LocalConnection(Connection):
    """A connection on the Unix socket; its client is the user in SO_PEERCRED (unix(7))."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        pid, uid = credentials(transport.get_extra_info("socket"))
        self.client = (user_name(uid), pid)


class NodeConnection(Connection):
    """A connection of another node; its client is the name and the rights in its certificate."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        secured = transport.get_extra_info("ssl_object")
        self.client = named(  # type: ignore[assignment]  # NodeCallers expects it so
            secured.getpeercert() if secured else None
        )


def named(certificate: Mapping[str, Any] | None) -> tuple[str, int, int]:
    """The name in a verified certificate, 1 if the node may publish intents, and the serial number.

    The name is "" without a certificate.
    """
    fields = [field for part in (certificate or {}).get("subject", ()) for field in part]
    subject = dict(fields)
    states = int(subject.get("organizationalUnitName") == STATES)
    serial = int((certificate or {}).get("serialNumber", "0"), 16)
    return subject.get("commonName", ""), states, serial


def credentials(peer: socket.socket) -> tuple[int, int]:
    """The process id and user id of the peer of a Unix socket."""
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", raw)
    return pid, uid


def user_name(uid: int) -> str:
    """The name of a user, or `uid 1234` if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
