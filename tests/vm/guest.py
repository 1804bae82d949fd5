# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual machines for the kernel tests: their images, which are built once, and a single run.

Plain QEMU, emulated without KVM. A run sees the image through a temporary overlay and the checkout
as a second disk. It prints its progress on the console, and returns a file through its second
serial port.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.vm.hardware import HARDWARE, Hardware, accelerator, has_kvm

ROOT = Path(__file__).parents[2]
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "cpio": "cpio",
    "zstd": "zstd",
    "xz": "xz-utils",
    "modprobe": "kmod",
}
_SOURCES = ("bpf", "xdpctl", "api", "bench", "tests", "examples", "typings", "pyproject.toml")
_CLOUD = "linux-image-cloud"
_NEEDED = "libmpdec4"  # the Debian package needs it; `dpkg -i` in the machine fetches nothing
_CPUS, _MEMORY_MB = 2, 4096
_KERNEL_LINE = "quiet mitigations=off net.ifnames=0 panic=-1"


class GuestError(Exception):
    """A machine could not be built, or a run failed; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A distribution's release with one of its kernels."""

    name: str
    suite: str
    package: str = f"{_CLOUD}-amd64"
    backports: bool = False
    architecture: str = "amd64"

    @property
    def hardware(self) -> Hardware:
        return HARDWARE[self.architecture]

    def lines(self) -> list[str]:
        """The sources that mmdebstrap uses; none for its default."""
        if not self.backports:
            return []
        mirror = _mirror()
        return [f"deb {mirror} {suite} main" for suite in (self.suite, f"{self.suite}-backports")]


GUESTS = {
    guest.name: guest
    for guest in (
        Guest("6.1", "bookworm"),
        Guest("6.12", "trixie", f"{_CLOUD}-amd64,{_NEEDED}"),
        Guest("newest", "trixie", f"{_CLOUD}-amd64/trixie-backports", backports=True),
        Guest("arm64", "trixie", f"{_CLOUD}-arm64", architecture="arm64"),
    )
}
# the kernel with all drivers, and the programs that make other kinds of interfaces
LINKS = Guest(
    "links", "trixie", "linux-image-amd64,wireguard-tools,ppp,pppoe,iputils-ping,xdp-tools"
)


def _mirror() -> str:
    """The mirror that this machine itself uses."""
    asked = ("apt-get", "indextargets", "--format", "$(REPO_URI)")
    found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    remote = [uri for uri in found if uri.startswith("http")]
    if not remote:
        raise GuestError("apt has no mirror from which a root could be made")
    return remote[0]


def missing() -> list[str]:
    """The Debian packages of the tools that are not here."""
    return [package for tool, package in TOOLS.items() if shutil.which(tool) is None]


def images() -> Path:
    """The folder of the images: XDPCTL_VM_IMAGES, or the default."""
    chosen = os.environ.get("XDPCTL_VM_IMAGES")
    return Path(chosen) if chosen else Path("/var/tmp/xdpctl-vm")


def image(guest: Guest) -> Path:
    """The folder with the guest's image, which is rebuilt if its sources changed."""
    script, lock = Path(__file__).with_name("image.sh"), ROOT / "requirements.lock"
    made_from = hashlib.sha256(script.read_bytes() + lock.read_bytes() + repr(guest).encode())
    folder = images() / f"{guest.name}-{made_from.hexdigest()[:12]}"
    if shutil.which(guest.hardware.program) is None:
        raise GuestError(f"missing: apt-get install {guest.hardware.package}")
    if (folder / "version").exists():
        return folder
    for old in images().glob(f"{guest.name}-*"):
        shutil.rmtree(old)
    folder.mkdir(parents=True)
    made_of = (script, folder, guest.suite, guest.architecture, guest.package, lock, sys.executable)
    command = [*map(str, made_of), *guest.lines()]
    options: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    try:
        done = subprocess.run(command, text=True, **options)
        if done.returncode:
            raise GuestError(f"no image of {guest.name}:\n{done.stderr[-2000:]}")
    except BaseException:  # perhaps it was interrupted: remove a half-built image
        shutil.rmtree(folder)
        raise
    return folder


def _disk(at: Path, script: str, files: Iterable[Path]) -> None:
    """A disk with the checkout and the script to run."""
    folder = at.with_suffix(".d")
    folder.mkdir()
    for name in _SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for file in files:
        shutil.copy(file, folder / file.name)
    (folder / "run.sh").write_text(script)
    make = ("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", folder, at, "192M")
    subprocess.run(make, check=True, capture_output=True)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is around a run: the folder of its files, its network, what starts first, more files for
    its second disk.
    """

    place: Path
    network: tuple[str, ...]
    init: str = "/vminit"
    files: tuple[Path, ...] = ()
    reboots: bool = False  # rather than to end when it does


@dataclass(frozen=True, slots=True)
class Ran:
    """The result of a run: the kernel's release, the console, and the returned file."""

    release: str
    emulated: bool
    console: str
    result: str


def run(guest: Guest, script: str, seconds: float, setting: Setting) -> Ran:
    """Boot, run a shell script in the checkout, power off; GuestError if it takes too long."""
    folder, place, hardware = image(guest), setting.place, guest.hardware
    _disk(place / "project", script, setting.files)
    command = [
        *("unshare", "--net", hardware.program, "-machine", hardware.machine),
        *accelerator(hardware, _kernel(hardware)),
        *("-smp", str(_CPUS), "-m", str(_MEMORY_MB), "-display", "none", "-monitor", "none"),
        *("-serial", "stdio", "-serial", f"file:{place / 'result'}"),
        *("-drive", f"file={folder / 'root.img'},format=raw,if=virtio,snapshot=on"),
        *("-drive", f"file={place / 'project'},format=raw,if=virtio"),
        *("-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initrd")),
        *(*setting.network, *(() if setting.reboots else ("-no-reboot",))),
        *("-append", f"console={hardware.port} {_KERNEL_LINE} init={setting.init}"),
    ]
    console = _ended(guest, command, seconds)
    result = (place / "result").read_text(errors="replace")
    release = (folder / "version").read_text().strip()
    return Ran(release, emulated(guest), console, result)


def _ended(guest: Guest, command: list[str], seconds: float) -> str:
    """Wait until the machine is off; return its output."""
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True}
    try:
        done = subprocess.run(command, timeout=seconds, **options)
    except subprocess.TimeoutExpired as late:
        said = (late.stdout or b"").decode(errors="replace")[-3000:]
        raise GuestError(f"{guest.name} did not end in {seconds:g} s:\n{said}") from None
    console: str = done.stdout.decode(errors="replace")
    if "ended with " not in console:
        error = done.stderr.decode(errors="replace")
        raise GuestError(f"{guest.name} did not run:\n{console[-3000:]}{error}")
    return console


def emulated(guest: Guest) -> bool:
    """Whether the guest runs without KVM."""
    return not has_kvm(guest.hardware, _kernel(guest.hardware))


@contextmanager
def machines() -> Iterator[None]:
    """Wrap a program that runs machines: errors and Ctrl-C end it with one line."""
    if lacking := missing():
        sys.exit(f"missing: apt-get install {' '.join(lacking)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # no machine is left running
    try:
        yield
    except GuestError as error:
        sys.exit(f"tests.vm: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _kernel(hardware: Hardware) -> Path | None:
    """A kernel of an image for it, if there is one."""
    guests = [guest for guest in (*GUESTS.values(), LINKS) if guest.hardware == hardware]
    found = (path for guest in guests for path in images().glob(f"{guest.name}-*/vmlinuz"))
    return next(found, None)
