# SPDX-License-Identifier: GPL-2.0-or-later
"""A web server with fully controlled responses, and a controlled name resolution."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import httpcore2
import pytest

from xdpctl.errors import FetchError
from xdpctl.lists.fetch import Validators, fetch
from xdpctl.lists.settings import FetchPolicy

STRICT = FetchPolicy(max_bytes=1000, allow_http=True)
LOCAL = replace(STRICT, allow_private=True)
HASTY = replace(LOCAL, timeout_seconds=0.1)
PUBLIC = "198.41.0.4"
NEW = Validators()
Reply = bytes | Callable[[socket.socket], None]


class Server:
    """Answers one connection with each reply, and records the requests."""

    def __init__(self, *replies: Reply, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/list"
        self._replies, self._tls = replies, tls
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for reply in self._replies:
            with suppress(OSError), ExitStack() as stack:
                peer = stack.enter_context(self.listener.accept()[0])
                if self._tls:
                    peer = stack.enter_context(self._tls.wrap_socket(peer, server_side=True))
                self.requests.append(peer.recv(65536).decode("latin-1"))
                if callable(reply):
                    reply(peer)
                else:
                    peer.sendall(reply)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes an accept
        self._thread.join()
        self.listener.close()


def answer(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def redirect(target: str) -> bytes:
    return answer(b"", f"Location: {target}", status="302 Found")


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + end


def hang(peer: socket.socket) -> None:
    peer.recv(1)  # returns when the client closes the connection


def drip(start: bytes) -> Reply:
    def reply(peer: socket.socket) -> None:
        peer.sendall(start)
        peer.settimeout(0.02)
        while True:
            peer.sendall(b"x")
            with suppress(TimeoutError):
                if not peer.recv(1):
                    return

    return reply


class Wire(httpcore2.SyncBackend):
    """A network in which every address is this machine; records the dialled addresses."""

    def __init__(self) -> None:
        self.dialled: list[str] = []

    def connect_tcp(self, host: str, port: int, *more: Any) -> httpcore2.NetworkStream:
        self.dialled.append(host)
        return super().connect_tcp("127.0.0.1", port, *more)


def names(**table: str) -> Callable[[str, int], list[str]]:
    def resolve(host: str, port: int) -> list[str]:
        if addresses := table.get(host.partition(".")[0]):
            return addresses.split()
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    return resolve


def refusal(url: str, policy: FetchPolicy, **how: Any) -> str:
    with pytest.raises(FetchError) as caught:
        fetch(url, NEW, policy, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)
