# SPDX-License-Identifier: GPL-2.0-or-later
"""Notifications to systemd (sd_notify(3)), and the sockets that systemd passes to a service."""

import os
import socket

_FIRST_FD = 3  # sd_listen_fds(3)


def ready() -> None:
    """Send READY=1, for Type=notify."""
    _notify(b"READY=1")


def alive() -> None:
    """Send WATCHDOG=1, for WatchdogSec."""
    _notify(b"WATCHDOG=1")


def extend(seconds: float) -> None:
    """Send EXTEND_TIMEOUT_USEC: the start takes up to this many seconds more."""
    _notify(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}".encode())


def watchdog_seconds() -> float:
    """The seconds within which `alive` must be called; 0 without a watchdog.

    See sd_watchdog_enabled(3).
    """
    microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    if not microseconds.isdigit() or len(microseconds) > 15 or (pid and pid != str(os.getpid())):
        return 0.0
    return int(microseconds) / 1e6


def listeners() -> dict[str, socket.socket]:
    """The sockets that systemd opened for this process, by FileDescriptorName.

    See sd_listen_fds_with_names(3).
    """
    count = os.environ.get("LISTEN_FDS", "")
    if not count.isdigit() or len(count) > 3 or os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    fds = range(_FIRST_FD, _FIRST_FD + int(count))
    return {name: socket.socket(fileno=fd) for name, fd in zip(names, fds, strict=False) if name}


def _notify(state: bytes) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto(state, address.replace("@", "\0", 1))
