# SPDX-License-Identifier: GPL-2.0-or-later
"""The API's listening sockets: opened by root, and passed by `xdpctl run` or by systemd."""

import errno
import logging
import os
import socket
from contextlib import closing, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from xdpctl.base.system import sd_notify
from xdpctl.config.listen import Listen
from xdpctl.config.settings import Settings
from xdpctl.errors import ConfigError
from xdpctl.fleet.settings import FleetSettings

_BACKLOG = 1024
_FREEBIND = 15  # ip(7); Python names it from 3.13 on
log = logging.getLogger("xdpctl.api")
_SOCKET_NAMES = ("local", "tcp")  # FileDescriptorName in packaging/systemd
_TURNED_AWAY = 10_000  # connections at most, if a client keeps connecting


def local_listener(path: Path, group: int) -> socket.socket:
    """The API's Unix socket, for root and `group`. ConfigError if it cannot be opened."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_socket():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise ConfigError(f"another control plane answers on {path}; give another --socket")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
    except OSError as error:
        raise ConfigError(f"cannot listen on {path}: {error.strerror}") from error
    os.chown(path, -1, group)
    path.chmod(0o660)
    listener.listen(_BACKLOG)
    return listener


@dataclass(frozen=True, slots=True)
class FleetListener:
    """The socket for other nodes of the fleet, and the folder of bundles for those that join."""

    socket: socket.socket
    settings: FleetSettings
    joining: Path


def fleet_listener(settings: Settings) -> FleetListener | None:
    """The listener for other nodes; None without a fleet, certificates or a port."""
    fleet = settings.fleet
    if not fleet or not fleet.port or not fleet.file("ca.crt").exists():
        return None
    try:
        host = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104
        opened = tcp_listener(Listen(host=host, port=fleet.port))
    except ConfigError as error:
        log.error("other nodes cannot ask this one: %s", error)
        return None
    return FleetListener(opened, fleet, settings.joining) if opened else None


def tcp_listener(listen: Listen) -> socket.socket | None:
    """The listening TCP socket; None if the port is 0. ConfigError if it cannot be opened."""
    if not listen.port:
        return None
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if listen.host == "::":
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        try:
            listener.bind((listen.host, listen.port))
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            log.warning(
                "%s is not an address of this host yet; listening on it anyway", listen.host
            )
            listener.setsockopt(socket.SOL_IP, _FREEBIND, 1)
            listener.bind((listen.host, listen.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {listen.host} port {listen.port}: {error.strerror}; "
            "set another listen.port, or 0 to serve only the Unix socket"
        ) from error
    return listener


class Listeners(NamedTuple):
    """The sockets of the API. Root opened them, so no other user can have taken the port."""

    local: socket.socket
    tcp: socket.socket | None

    @classmethod
    def open(cls, settings: Settings, local_fd: int | None, tcp_fd: int | None) -> "Listeners":
        """The sockets that were passed, by number or by systemd; else only a new Unix socket."""
        by_name = sd_notify.listeners()
        for name, fd in zip(_SOCKET_NAMES, (local_fd, tcp_fd), strict=True):
            if fd is not None:
                by_name[name] = socket.socket(fileno=fd)
        local, tcp = map(by_name.get, _SOCKET_NAMES)
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
