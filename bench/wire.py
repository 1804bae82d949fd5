# SPDX-License-Identifier: GPL-2.0-or-later
"""HTTP/1.1 over a Unix socket with little overhead, so that the client is not the bottleneck."""

import json
import selectors
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.errors import BenchError

_SECONDS = 60  # to wait for an answer


def request(method: str, path: str, body: bytes = b"", media: str = "application/json") -> bytes:
    """The bytes of one request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: xdpctl\r\nContent-Type: {media}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def rule(source: str) -> bytes:
    """A POST of one drop rule, as a detector sends it."""
    return request("POST", "/v1/rules", json.dumps({"match": {"source": source}}).encode())


class Connection:
    """A keep-alive connection with one request at a time."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(_SECONDS)
        self.socket.connect(str(path))
        self._got = b""

    def send(self, data: bytes) -> None:
        self._got = b""
        self.socket.sendall(data)

    def receive(self) -> tuple[int, bytes] | None:
        """Read once; the status and body if the response is complete, else None."""
        try:
            piece = self.socket.recv(1 << 16)
        except TimeoutError:
            raise BenchError(f"the control plane did not answer for {_SECONDS} s") from None
        if not piece:
            raise BenchError("the control plane closed the connection")
        self._got += piece
        head, blank_line, body = self._got.partition(b"\r\n\r\n")
        if not blank_line:
            return None
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        return (int(head[9:12]), body) if len(body) >= int(length) else None

    def call(self, data: bytes) -> tuple[int, bytes]:
        self.send(data)
        while (answer := self.receive()) is None:
            pass
        return answer

    def json(self, data: bytes) -> Any:
        """Make a call that must succeed; the parsed body."""
        status, body = self.call(data)
        if status >= 400:
            raise BenchError(f"HTTP {status}: {body[:300].decode(errors='replace')}")
        return json.loads(body)

    def close(self) -> None:
        self.socket.close()


def sequential(path: Path, requests: Iterable[bytes], wanted: int = 201) -> list[float]:
    """Send requests one after the other on one connection; the milliseconds of each."""
    connection, milliseconds = Connection(path), []
    for data in requests:
        start = time.perf_counter()
        status, body = connection.call(data)
        milliseconds.append((time.perf_counter() - start) * 1e3)
        if status != wanted:
            raise BenchError(f"HTTP {status}: {body[:300].decode(errors='replace')}")
    connection.close()
    return milliseconds


def concurrent(
    path: Path, clients: int, requests: list[bytes], wanted: int = 201
) -> tuple[float, list[float]]:
    """Send requests from `clients` connections at once; total seconds, and ms of each."""
    waiting, todo, milliseconds = selectors.EpollSelector(), iter(requests), list[float]()
    sent: dict[int, float] = {}
    connections = [Connection(path) for _ in range(clients)]
    start = time.perf_counter()
    for connection in connections:
        waiting.register(connection.socket, selectors.EVENT_READ, connection)
        _next(connection, todo, sent)
    while sent:
        for key, _ in waiting.select():
            connection = key.data
            answer = connection.receive()
            if answer is None:
                continue
            if answer[0] != wanted:
                raise BenchError(f"HTTP {answer[0]}: {answer[1][:300].decode(errors='replace')}")
            milliseconds.append((time.perf_counter() - sent.pop(id(connection))) * 1e3)
            _next(connection, todo, sent)
    seconds = time.perf_counter() - start
    for connection in connections:
        connection.close()
    return seconds, milliseconds


def _next(connection: Connection, todo: Iterator[bytes], sent: dict[int, float]) -> None:
    data = next(todo, None)
    if data is not None:
        sent[id(connection)] = time.perf_counter()
        connection.send(data)
