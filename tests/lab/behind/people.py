# SPDX-License-Identifier: GPL-2.0-or-later
"""Logged-in users: HTTP sessions, and UDP conversations in both directions."""

import selectors
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from tests.lab.behind.places import CLIENTS, SERVER, Place

PORT = 80
_REQUEST = b"GET / HTTP/1.1\r\nHost: school\r\n\r\n"
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\ngood morning, class\n"
_PATIENT_SECONDS = 8.0
_ASK_SECONDS, _AT_ONCE = 0.05, 5
_BEAT_SECONDS = 0.02  # 50 packets a second, as of RTP with 20 ms of speech
_RTP, _WIREGUARD, _DNS = 8, 6, 6  # conversations
_BUFFER = 1 << 20


class Server:
    """Answers HTTP requests on connections that stay open, in one thread."""

    def __init__(self, place: Place) -> None:
        self._listener = place.server.call(
            lambda: socket.create_server(("", PORT), backlog=1024, reuse_port=True)
        )
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._listener, selectors.EVENT_READ)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._ready.select(0.2):
                with suppress(OSError):
                    self._step(key.fileobj)

    def _step(self, at: object) -> None:
        if at is self._listener:
            peer, _ = self._listener.accept()
            self._ready.register(peer, selectors.EVENT_READ)
            return
        assert isinstance(at, socket.socket)
        try:
            data = at.recv(4096)
        except OSError:
            data = b""
        if data:
            at.sendall(_RESPONSE * data.count(b"\r\n\r\n"))
        else:
            self._ready.unregister(at)
            at.close()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for key in list(self._ready.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]


class Sessions:
    """HTTP sessions from the world, each of which asks now and then."""

    def __init__(self, place: Place, count: int) -> None:
        def connect(number: int) -> socket.socket:
            source = CLIENTS[number % len(CLIENTS)], 0
            return socket.create_connection((SERVER, PORT), _PATIENT_SECONDS, source)

        def all_of_them() -> list[socket.socket]:
            return [connect(number) for number in range(count)]

        self._sockets = place.world.call(all_of_them)
        self._asked = [0.0] * count  # when the unanswered request was sent, or 0
        self.answers, self.slowest = 0, 0.0
        self.broken: set[int] = set()
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._ready = selectors.DefaultSelector()
        for number, connection in enumerate(self._sockets):
            connection.setblocking(False)
            self._ready.register(connection, selectors.EVENT_READ, number)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        turn = 0
        while not self._stop.is_set():
            until = time.monotonic() + _ASK_SECONDS
            for _ in range(_AT_ONCE):
                self._ask(turn % len(self._sockets))
                turn += 1
            while (left := until - time.monotonic()) > 0:
                for key, _ in self._ready.select(left):
                    self._hear(key.data)

    def _ask(self, number: int) -> None:
        if self._asked[number] or number in self.broken:
            return
        try:
            self._sockets[number].send(_REQUEST)
            self._asked[number] = time.monotonic()
        except OSError:
            self._break(number)

    def _hear(self, number: int) -> None:
        try:
            data = self._sockets[number].recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._break(number)
            return
        with self._lock:
            self.answers += 1
            self.slowest = max(self.slowest, time.monotonic() - self._asked[number])
            self._asked[number] = 0.0

    def _break(self, number: int) -> None:
        self.broken.add(number)
        with suppress(KeyError, ValueError):
            self._ready.unregister(self._sockets[number])

    def waiting(self, seconds: float) -> int:
        """The number of sessions that have waited this long for an answer, or are broken."""
        before = time.monotonic() - seconds
        late = {n for n, asked_at in enumerate(self._asked) if asked_at and asked_at < before}
        return len(late | self.broken)

    def all_answer(self) -> bool:
        """Whether all sessions are answered within some seconds, and none is broken."""
        until = time.monotonic() + _PATIENT_SECONDS
        while time.monotonic() < until and not self.broken:
            if not self.waiting(1.0):
                return True
            time.sleep(0.05)
        return False

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for connection in self._sockets:
            connection.close()


@dataclass(slots=True)
class Conversation:
    """Two sockets that talk; `sent` and `heard` count the inbound packets."""

    kind: str
    inside: socket.socket
    outside: socket.socket
    outer: tuple[str, int]
    inner: tuple[str, int] | None = None  # learned from the first packet that came out
    sent: int = 0
    heard: int = 0
    at_mark: tuple[int, int] = (0, 0)

    @property
    def lost(self) -> float:
        """The share of what was sent in since the mark and not heard."""
        sent, heard = self.sent - self.at_mark[0], self.heard - self.at_mark[1]
        return max(0.0, 1 - heard / sent) if sent else 1.0


def _payload(kind: str, number: int) -> bytes:
    if kind == "DNS":
        return struct.pack(">HHHHHH", number & 0xFFFF, 0x0100, 1, 0, 0, 0) + b"\6school\0\0\1\0\1"
    if kind == "WireGuard":  # transport data (type 4), as big as a keepalive with some content
        return struct.pack("<IIQ", 4, 7, number) + bytes(80)
    return struct.pack(">BBHII", 0x80, 0, number & 0xFFFF, number, 9) + bytes(160)


class Conversations:
    """RTP, WireGuard and DNS in one thread; the inside has opened all conversations."""

    def __init__(self, place: Place) -> None:
        kinds = ["RTP"] * _RTP + ["WireGuard"] * _WIREGUARD + ["DNS"] * _DNS
        self.all = [self._make(place, kind, number) for number, kind in enumerate(kinds)]
        self._stop, self._silent, self._number = threading.Event(), threading.Event(), 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @staticmethod
    def _make(place: Place, kind: str, number: int) -> Conversation:
        port = {"RTP": 30_000 + number, "WireGuard": 51820, "DNS": 53}[kind]
        outer = CLIENTS[number], port
        inner = 20_000 + number if kind == "RTP" else 0

        def bound(end: tuple[str, int]) -> socket.socket:
            end_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            end_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            end_socket.bind(end)
            end_socket.setblocking(False)
            return end_socket

        inside = place.server.call(lambda: bound(("", inner)))
        outside = place.world.call(lambda: bound(outer))
        return Conversation(kind, inside, outside, outer)

    def _run(self) -> None:
        at = time.monotonic()
        while not self._stop.is_set():
            self._number += 1
            for talk in self.all:
                self._beat(talk)
            at = max(at + _BEAT_SECONDS, time.monotonic() - 1.0)
            time.sleep(max(0.0, at - time.monotonic()))

    def _beat(self, talk: Conversation) -> None:
        if not self._silent.is_set():
            with suppress(OSError):  # for the moment in which a cable is cut
                talk.inside.sendto(_payload(talk.kind, self._number), talk.outer)
        self._outside(talk)
        with suppress(BlockingIOError):
            while True:
                talk.inside.recv(2048)
                talk.heard += 1

    def _outside(self, talk: Conversation) -> None:
        """Let the outer end send its packets, or answer each query (DNS)."""
        with suppress(BlockingIOError):
            while True:
                data, talk.inner = talk.outside.recvfrom(2048)
                if talk.kind == "DNS":
                    self._send(talk, data[:2] + b"\x81\x80" + data[4:])
        if talk.kind != "DNS" and not self._silent.is_set():
            self._send(talk, _payload(talk.kind, self._number))

    @staticmethod
    def _send(talk: Conversation, data: bytes) -> None:
        if talk.inner:
            with suppress(OSError):
                talk.outside.sendto(data, talk.inner)
                talk.sent += 1

    def mark(self) -> None:
        """Count losses from now on."""
        self._silent.set()
        time.sleep(5 * _BEAT_SECONDS)
        for talk in self.all:
            talk.at_mark = talk.sent, talk.heard
        self._silent.clear()

    def worst(self) -> Conversation:
        """The conversation that lost most since the mark, after packets in flight have arrived."""
        self._silent.set()
        time.sleep(5 * _BEAT_SECONDS)
        worst = replace(max(self.all, key=lambda talk: talk.lost))  # as it is now
        self._silent.clear()
        return worst

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        for talk in self.all:
            talk.inside.close()
            talk.outside.close()
