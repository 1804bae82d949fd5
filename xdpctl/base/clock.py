# SPDX-License-Identifier: GPL-2.0-or-later
"""Two clocks, read together: kernel time decides, wall time is what people and reboots see."""

import time
from dataclasses import dataclass
from pathlib import Path

from xdpctl.base.system import adjtimex

_ASK_NS = 10_000_000_000  # it changes slowly


@dataclass(frozen=True, slots=True)
class Now:
    """One reading; `boot` tells which boot `ns` counts from.

    `error` is by how many seconds `unix` is off at most, None where nothing synchronises it.
    """

    ns: int  # CLOCK_MONOTONIC, what the kernel's slots expire by
    unix: float
    boot: str
    error: float | None = None

    def wall(self, ns: int) -> float:
        """When `ns` will be (or was), in seconds since 1970."""
        return self.unix + (ns - self.ns) / 1e9

    def after(self, seconds: float) -> int:
        """Kernel time so many seconds from now."""
        return self.ns + round(seconds * 1e9)


class Clock:
    """The machine's clocks; tests pass their own `read`."""

    def __init__(self) -> None:
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._error, self._asked_ns = adjtimex.error(), time.monotonic_ns()

    def read(self) -> Now:
        """Both clocks now; the clock's error is asked of the kernel only from time to time."""
        ns = time.monotonic_ns()
        if ns - self._asked_ns > _ASK_NS:
            self._error, self._asked_ns = adjtimex.error(), ns
        return Now(ns, time.time(), self._boot, self._error)
