# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts as network namespaces, connected by veth pairs; all are deleted when the lab ends."""

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from xdpctl.errors import XdpctlError

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


class LabError(XdpctlError):
    """The lab could not be built."""


def sh(*command: str) -> str:
    """Run a command; return its output, or raise LabError with its error output."""
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603  # no shell
    if done.returncode:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Host:
    """A network namespace, in which commands, processes and threads can be run."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = Path("/var/run/netns") / name

    def sh(self, *command: str) -> str:
        """Run a command in the host; return its output, or raise LabError with its error output."""
        return sh("nsenter", f"--net={self.path}", *command)

    def ip(self, line: str) -> str:
        """Run `ip` in the host, with the arguments given as one line."""
        return sh("ip", "-n", self.name, *line.split())

    def sysctl(self, name: str, value: int) -> None:
        """Set a kernel parameter of the host, by its dotted name."""
        self.call(lambda: Path("/proc/sys", *name.split(".")).write_text(str(value)))

    def popen(self, *command: str, **more: Any) -> "subprocess.Popen[bytes]":
        """Start a process in the host; nsenter keeps the mounts, so pins stay visible."""
        inside = ("nsenter", f"--net={self.path}", *command)
        return subprocess.Popen(inside, **more)  # noqa: S603  # no shell; the lab's own commands

    def enter(self) -> None:
        """Move the calling thread into the host's namespace."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            if _libc.setns(fd, _CLONE_NEWNET) != 0:
                raise LabError(f"setns {self.name}: {os.strerror(ctypes.get_errno())}")
        finally:
            os.close(fd)

    def start(self, work: Callable[[], T]) -> "Future[T]":
        """Run `work` in a new thread in the host."""
        future: Future[T] = Future()

        def inside() -> None:
            try:
                self.enter()
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=inside, daemon=True).start()
        return future

    def call(self, work: Callable[[], T]) -> T:
        """Run `work` in the host, and wait for its result."""
        return self.start(work).result()


class Lab:
    """Creates hosts and cables; a context manager that removes them all."""

    def __init__(self, name: str) -> None:
        self._prefix = f"{name}-{os.getpid()}"
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._undo.close()

    def host(self, name: str) -> Host:
        """Create a host with its loopback up; it is deleted when the lab ends."""
        host = Host(f"{self._prefix}-{name}")
        sh("ip", "netns", "add", host.name)
        self._undo.callback(sh, "ip", "netns", "del", host.name)
        host.ip("link set lo up")
        # use IPv6 addresses at once, without the second of duplicate address detection
        host.sysctl("net.ipv6.conf.default.accept_dad", 0)
        for name in ("all", "default"):  # an attacker's source addresses have no route back
            host.sysctl(f"net.ipv4.conf.{name}.rp_filter", 0)
        return host

    def cable(self, left: Host, left_name: str, right: Host, right_name: str) -> None:
        """Connect two hosts by a veth pair, and set both ends up."""
        sh(
            *("ip", "link", "add", "name", left_name, "netns", left.name, "type", "veth"),
            *("peer", "name", right_name, "netns", right.name),
        )
        ends = ((left, left_name), (right, right_name))
        for host, name in ends:
            host.ip(f"link set {name} up")
        # a veth end without XDP only receives redirected frames if its GRO was turned on while the
        # end was up
        for state in ("off", "on"):
            for host, name in ends:
                host.sh("ethtool", "-K", name, "gro", state)
