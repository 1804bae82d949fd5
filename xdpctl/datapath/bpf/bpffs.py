# SPDX-License-Identifier: GPL-2.0-or-later
"""The bpffs that holds the pins: find it, mount it if there is none, share it with a group."""

import ctypes
import os
from pathlib import Path
from typing import NamedTuple

from xdpctl.datapath.bpf.syscall import libc
from xdpctl.errors import DatapathError

_PRELOADED = frozenset(("maps.debug", "progs.debug"))  # the kernel pins these on every bpffs
_LAZILY = 2  # MNT_DETACH
_SOURCE = "xdpctl"  # what /proc/mounts shows of the bpffs that this module mounts


class _Mount(NamedTuple):
    source: str
    at: Path
    kind: str


def share(path: Path, group: int, mode: int) -> None:
    """Set the owner to root and the group to `group`, with the permissions `mode`."""
    os.chown(path, 0, group)
    path.chmod(mode)


def is_bpffs(path: Path) -> bool:
    """Whether `path`, or its nearest existing parent, is on a bpffs."""
    path = path.resolve()
    covering = [mount for mount in _mounts() if path.is_relative_to(mount.at)]
    # of several mounts on one mount point, the last one is visible
    return max(enumerate(covering), key=lambda m: (len(m[1].at.parts), m[0]))[1].kind == "bpf"


def _mounts() -> list[_Mount]:
    try:
        text = Path("/proc/self/mounts").read_text()
    except OSError as error:
        fix = "mount -t proc proc /proc"
        raise DatapathError(f"/proc is not mounted ({error.strerror}): {fix}") from error
    lines = (line.split() for line in text.splitlines())
    return [_Mount(source, Path(at), kind) for source, at, kind, *_ in lines]


def ensure(directory: Path) -> None:
    """Mount a bpffs at `directory` unless it is already on one; DatapathError if that fails."""
    if is_bpffs(directory):
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatapathError(
            f"pin_dir {directory} is not on a bpffs and cannot be created: {error.strerror}"
        ) from error
    if libc.mount(_SOURCE.encode(), os.fsencode(directory), b"bpf", 0, None) < 0:
        raise DatapathError(
            f"{directory} is not on a bpffs and mounting one there failed: "
            f"{os.strerror(ctypes.get_errno())}"
        )


def leave(directory: Path) -> None:
    """Unmount the bpffs that `ensure` mounted at `directory`, once it is empty.

    DatapathError if that fails. A bpffs that somebody else mounted stays.
    """
    ours = _Mount(_SOURCE, directory.resolve(), "bpf")
    if ours not in _mounts() or {path.name for path in directory.iterdir()} - _PRELOADED:
        return
    # a control plane that is still running has a folder of it open
    if libc.umount2(os.fsencode(directory), _LAZILY) < 0:
        reason = os.strerror(ctypes.get_errno())
        raise DatapathError(f"{directory} cannot be unmounted: {reason}")
    directory.rmdir()
