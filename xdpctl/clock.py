"""Two clocks, read together: kernel time decides, wall time is what people and reboots see."""

import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Now:
    """One reading; `boot` tells which boot `ns` counts from."""

    ns: int  # CLOCK_MONOTONIC, what the kernel's slots expire by
    unix: float
    boot: str

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

    def read(self) -> Now:
        return Now(time.monotonic_ns(), time.time(), self._boot)
