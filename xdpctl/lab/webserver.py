# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's protected service: a small HTTP server, and a client that requests it repeatedly."""

import http.client
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from xdpctl.lab.namespaces import Host

_TIMEOUT = 0.5
_PAUSE = 0.1


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"good morning, class\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 32


@dataclass(slots=True)
class Answer:
    """One request: when it was sent (time.monotonic), its duration, whether it was answered."""

    at: float
    seconds: float
    good: bool


@dataclass(slots=True)
class Visitor:
    """A client in a host that requests each address of a list several times a second."""

    host: Host
    addresses: list[str]
    answers: list[Answer] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Start sending requests, in a thread in the host."""
        self.host.start(self._visit)

    def stop(self) -> None:
        """Make the thread end."""
        self._stop.set()

    def since(self, moment: float) -> list[Answer]:
        """The completed requests that were sent after `moment` (time.monotonic)."""
        return [answer for answer in list(self.answers) if answer.at >= moment]

    def _visit(self) -> None:
        while not self._stop.is_set():
            for address in self.addresses:
                started = time.monotonic()
                good = self._ask(address)
                self.answers.append(Answer(started, time.monotonic() - started, good))
            self._stop.wait(_PAUSE)

    def _ask(self, address: str) -> bool:
        connection = http.client.HTTPConnection(address, 80, timeout=_TIMEOUT)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


if __name__ == "__main__":
    try:
        _Server(("::", 80), _Handler).serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)
