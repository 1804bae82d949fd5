# SPDX-License-Identifier: GPL-2.0-or-later
"""Shows code in a folder that a user may not enter, such as /root, to a process of that user.

`python -m xdpctl.base.system.code_view UID GID COMMAND...`, as root, gives this process a mount
namespace, in which an empty folder covers each folder that the user may not enter. Only Python and
the code are in it, read-only and at their paths. Then it becomes the user, and runs the command.
"""

import ctypes
import os
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from xdpctl.errors import ConfigError

# linux/sched.h, linux/mount.h
_CLONE_NEWNS = 0x20000
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _REC, _SLAVE = 1, 2, 4, 32, 4096, 1 << 14, 1 << 19
_WALK = 0o1
_PACKAGES = ("xdpctl", "xdpctl_api")


def packages() -> list[Path]:
    """The folders of our packages."""
    specs = (find_spec(name) for name in _PACKAGES)
    return [Path(spec.origin).resolve().parent for spec in specs if spec and spec.origin]


def needed() -> list[Path]:
    """The folders that a child needs: those of Python, of its packages, and of our packages."""
    return [Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), *packages()]


def hidden(paths: Iterable[Path], user: int, group: int) -> dict[Path, list[Path]]:
    """The outermost folders that a user may not enter, each with the paths that are below it."""
    below: dict[Path, list[Path]] = {}
    for path in dict.fromkeys(paths):
        above = (*reversed(path.parents), path)
        closed = next((folder for folder in above if not _walkable(folder, user, group)), None)
        if closed is not None:
            below.setdefault(closed, []).append(path)
    return below


def _walkable(folder: Path, user: int, group: int) -> bool:
    about = folder.stat()
    shift = 6 if about.st_uid == user else 3 if about.st_gid == group else 0
    return bool(about.st_mode >> shift & _WALK)


def _mount(source: str, target: Path, kind: str, flags: int, data: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    words = (source, str(target), kind, data)
    source_, target_, kind_, data_ = (os.fsencode(word) for word in words)
    if libc.mount(source_, target_, kind_, ctypes.c_ulong(flags), data_):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def _show(closed: Path, paths: list[Path]) -> None:
    """Cover a folder by an empty folder that all users may enter, with only these paths in it."""
    descriptors = {path: os.open(path, os.O_PATH | os.O_DIRECTORY) for path in paths}
    _mount("xdpctl", closed, "tmpfs", _NOSUID | _NODEV, "mode=0755,size=1m")
    for path, descriptor in descriptors.items():
        path.mkdir(parents=True, exist_ok=True)
        _mount(f"/proc/self/fd/{descriptor}", path, "", _BIND)
        _mount("", path, "", _BIND | _REMOUNT | _RDONLY | _NOSUID | _NODEV)
        os.close(descriptor)
    _mount("", closed, "", _REMOUNT | _RDONLY | _NOSUID | _NODEV, "mode=0755,size=1m")


def enter(user: int, group: int) -> None:
    """Show the code to a user, and become that user for good; ConfigError if that fails."""
    covered = hidden(needed(), user, group)
    shut = [p for paths in covered.values() for p in paths if not _walkable(p, user, group)]
    if shut:
        raise ConfigError(
            f"the control plane has a user of its own, who may not read {shut[0]}: "
            f"chmod -R go+rX {shut[0]}"
        )
    try:
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "/")
        _mount("", Path("/"), "", _REC | _SLAVE)
        umask = os.umask(0o022)  # of the folders that this process creates
        for closed, paths in covered.items():
            _show(closed, paths)
        os.umask(umask)
    except OSError as error:
        raise ConfigError(
            f"the control plane has a user of its own, who may not enter {next(iter(covered))}, "
            f"and a view of it cannot be made ({error.strerror}): put xdpctl where all users may "
            "go, such as /opt"
        ) from error
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)


def _main() -> None:
    user, group, *command = sys.argv[1:]
    try:
        enter(int(user), int(group))
    except ConfigError as error:
        print(f"xdpctl: {error}", file=sys.stderr)
        sys.exit(1)
    os.execv(command[0], command)  # noqa: S606  # no shell; the command of our own parent


if __name__ == "__main__":
    _main()
