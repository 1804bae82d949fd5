# SPDX-License-Identifier: GPL-2.0-or-later
"""A web server with a fixed number of places, each held for a whole request: slowloris's target."""

import socket
import threading
from contextlib import suppress

from xdpctl.lab.namespaces import Host

PORT = 80
ANSWER = b"HTTP/1.0 200 OK\r\n\r\ngood morning\n"


class SlotServer:
    """Serves as many connections at a time as it has places; the others wait in its backlog."""

    def __init__(self, host: Host, places: int, family: socket.AddressFamily) -> None:
        self._free, self._lock = threading.Semaphore(places), threading.Lock()
        self.held = 0
        self._listener = host.call(lambda: _listen(family))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while self._free.acquire():
                peer, _ = self._listener.accept()
                with self._lock:
                    self.held += 1
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        heard = b""
        with suppress(OSError), peer:
            while b"\r\n\r\n" not in heard and (data := peer.recv(64)):
                heard += data
            if b"\r\n\r\n" in heard:
                peer.sendall(ANSWER)
        with self._lock:
            self.held -= 1
        self._free.release()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _listen(family: socket.AddressFamily) -> socket.socket:
    if family == socket.AF_INET:
        return socket.create_server(("0.0.0.0", PORT), backlog=1024)
    return socket.create_server(("::", PORT), family=family, backlog=1024, dualstack_ipv6=True)
