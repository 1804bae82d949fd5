# SPDX-License-Identifier: GPL-2.0-or-later
"""Two clocks, read together: kernel time for expiry, wall time for people and across reboots."""

import time
from dataclasses import dataclass
from pathlib import Path

from xdpctl.base.system import adjtimex

_REFRESH_NS = 10_000_000_000  # the error is read rarely, because it changes slowly


@dataclass(frozen=True, slots=True)
class Now:
    """One reading of both clocks; `boot` is the id of the boot that `ns` counts from.

    `error` is the largest error of `unix` in seconds, or None if the clock is not synchronised.
    """

    ns: int  # CLOCK_MONOTONIC, by which the kernel expires slots
    unix: float
    boot: str
    error: float | None = None

    def wall(self, ns: int) -> float:
        """Wall time at kernel time `ns`, in seconds since 1970."""
        return self.unix + (ns - self.ns) / 1e9

    def after(self, seconds: float) -> int:
        """Kernel time `seconds` from now, in nanoseconds."""
        return self.ns + round(seconds * 1e9)


class Clock:
    """The machine's clocks; tests pass their own `read`."""

    def __init__(self) -> None:
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._error, self._asked_ns = adjtimex.error(), time.monotonic_ns()

    def read(self) -> Now:
        """Read both clocks; the clock's error is read from the kernel every 10 s at most."""
        ns = time.monotonic_ns()
        if ns - self._asked_ns > _REFRESH_NS:
            self._error, self._asked_ns = adjtimex.error(), ns
        return Now(ns, time.time(), self._boot, self._error)
