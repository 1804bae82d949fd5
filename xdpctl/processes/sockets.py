# SPDX-License-Identifier: GPL-2.0-or-later
"""Opens the API's listening sockets."""

import errno
import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from xdpctl.config.settings import Listen, Settings
from xdpctl.errors import ConfigError
from xdpctl.fleet.settings import ANY_HOST, FleetSettings

_BACKLOG = 1024
_FREEBIND = 15  # ip(7); Python names it from 3.13 on
log = logging.getLogger("xdpctl.api")


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
        host = fleet.host if fleet.host != ANY_HOST or socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104
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
    if listen.host == ANY_HOST:
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
