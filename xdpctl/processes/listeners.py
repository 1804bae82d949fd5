# SPDX-License-Identifier: GPL-2.0-or-later
"""The API's listening sockets, passed by `xdpctl run` or by systemd."""

import logging
import os
import socket
from contextlib import closing, suppress
from ipaddress import ip_address
from typing import NamedTuple

from xdpctl.base.system import sd_notify
from xdpctl.config.settings import Listen, Settings
from xdpctl.processes.sockets import local_listener

_SOCKET_NAMES = ("local", "tcp")  # FileDescriptorName in packaging/systemd
_TURNED_AWAY = 10_000  # connections at most, if a client keeps connecting
log = logging.getLogger("xdpctl.api")


class Listeners(NamedTuple):
    """The sockets of the API. Root opened them, so no other user can have taken the port."""

    local: socket.socket
    tcp: socket.socket | None

    @classmethod
    def open(cls, settings: Settings, local_fd: int | None, tcp_fd: int | None) -> "Listeners":
        """The sockets that were passed, by number or by systemd; else only a new Unix socket."""
        named = sd_notify.listeners()
        for name, fd in zip(_SOCKET_NAMES, (local_fd, tcp_fd), strict=True):
            if fd is not None:
                named[name] = socket.socket(fileno=fd)
        local, tcp = map(named.get, _SOCKET_NAMES)
        if tcp is not None and (why := unfit(tcp, settings.listen)):
            log.error("TCP is not served: %s", why)
            tcp.close()
            tcp = None
        elif tcp is None and settings.listen.port:
            log.error("TCP is not served: no socket for port %d was passed", settings.listen.port)
        return cls(local or local_listener(settings.listen.socket, os.getgid()), tcp)


def turn_away() -> None:
    """Close waiting connections: for them, systemd would start this process again."""
    for listener in sd_notify.listeners().values():
        listener.setblocking(False)
        with closing(listener), suppress(BlockingIOError):  # no more connections wait
            for _ in range(_TURNED_AWAY):
                listener.accept()[0].close()


def unfit(tcp: socket.socket, listen: Listen) -> str:
    """Why the TCP socket that was passed contradicts the settings; "" if it does not."""
    host, port = tcp.getsockname()[:2]
    if not listen.port:
        return "listen.port is 0. Disable xdpctl-tcp.socket"
    if port != listen.port:
        return f"port {port} was passed, but listen.port is {listen.port}"
    if listen.tls_certificate is None and not ip_address(host.split("%")[0]).is_loopback:
        return f"{host} is not loopback, and listen.tls_certificate is not set"
    return ""
