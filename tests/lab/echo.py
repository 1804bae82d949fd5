# SPDX-License-Identifier: GPL-2.0-or-later
"""A TCP echo server with long-lived connections."""

import socket
import threading
from contextlib import suppress

from xdpctl.lab.namespaces import Host

PORT = 7
PATIENT = 8.0  # seconds in which an answer should have come


class Echo:
    """Echoes data to any number of peers."""

    def __init__(self, host: Host) -> None:
        self._listener = host.call(self._listen)
        threading.Thread(target=self._accept, daemon=True).start()

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6
        return socket.create_server(("::", PORT), family=family, dualstack_ipv6=True)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        with suppress(OSError), peer:
            while data := peer.recv(64):
                peer.sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def says_back(connection: socket.socket, seconds: float = PATIENT) -> bool:
    connection.settimeout(seconds)
    try:
        connection.sendall(b"good morning")
        return bool(connection.recv(64))
    except TimeoutError:
        return False
