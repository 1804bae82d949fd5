# SPDX-License-Identifier: GPL-2.0-or-later
"""The machines that QEMU runs or emulates."""

import platform
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_KVM = ("-accel", "kvm", "-cpu", "host")
_PROBE_SECONDS, _BOOT_SECONDS = 3.0, 20.0


@dataclass(frozen=True, slots=True)
class Hardware:
    """An architecture: the program and the package of QEMU, the machine, its first serial port."""

    processor: str  # as platform.machine() names it
    package: str
    machine: str
    emulated: str
    port: str

    @property
    def program(self) -> str:
        return f"qemu-system-{self.processor}"


# by Debian's names
HARDWARE = {
    "amd64": Hardware("x86_64", "qemu-system-x86", "q35", "max", "ttyS0"),
    "arm64": Hardware("aarch64", "qemu-system-arm", "virt", "cortex-a72", "ttyAMA0"),
}


def has_kvm(hardware: Hardware, kernel: Path | None) -> bool:
    """Whether KVM works here for it; that it does not is said once."""
    return accelerator(hardware, kernel) == _KVM


@cache
def accelerator(hardware: Hardware, kernel: Path | None) -> tuple[str, ...]:
    """QEMU's options: KVM where it works, else emulation.

    The kernel finds no root and panics, and the machine ends: a KVM that only seems to work, as
    inside some virtual machines, would let it hang.
    """
    why = f"this machine is {platform.machine()}"
    if platform.machine() == hardware.processor:
        why = _tried(hardware, kernel)
    if not why:
        return _KVM
    print(f"{hardware.processor} is emulated, since KVM does not work here: {why}", file=sys.stderr)
    return "-accel", "tcg,thread=multi", "-cpu", hardware.emulated


def _tried(hardware: Hardware, kernel: Path | None) -> str:
    """Why KVM does not work; empty if it does."""
    command = [hardware.program, "-machine", hardware.machine, *_KVM, "-display", "none"]
    command += ["-kernel", str(kernel), "-append", "panic=-1", "-no-reboot"] if kernel else ["-S"]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as machine:
        try:
            _, error = machine.communicate(timeout=_BOOT_SECONDS if kernel else _PROBE_SECONDS)
        except subprocess.TimeoutExpired:  # without a kernel it would wait, as configured
            machine.kill()
            return "a kernel hangs" if kernel else ""
    if kernel and machine.returncode == 0:
        return ""
    said = error.decode(errors="replace").strip().splitlines()
    return said[0] if said else f"QEMU ended with status {machine.returncode}"
