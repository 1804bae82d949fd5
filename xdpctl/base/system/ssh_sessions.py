# SPDX-License-Identifier: GPL-2.0-or-later
"""The clients that are logged in by ssh: addresses that no rule should block by mistake.

sshd sets SSH_CONNECTION (ssh(1)) for the processes that it starts for a user. sudo removes the
variable, so a command's own environment is not enough. Only root can read the environments of
other users' processes.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from xdpctl.base.net.prefix import Prefix, exact_address

_PROC = Path("/proc")
_NAME = b"SSH_CONNECTION="
_ENVIRON_MAX = 256 << 10  # bytes of an environment that are read
_SESSIONS_MAX, _DEPTH_MAX = 256, 64
_DAEMONS = ("sshd", "sshd-session", "dropbear")


def own(pid: int | None = None, proc: Path = _PROC) -> str:
    """The client address of the ssh session that this process belongs to, "" if there is none.

    The process's parents are examined too, so this also works under sudo.
    """
    asked = os.getpid() if pid is None else pid
    for _ in range(_DEPTH_MAX):
        found = _client(proc / str(asked))
        if found:
            return str(found).split("/")[0]
        asked = _parent(proc / str(asked))
        if asked <= 1:
            return ""
    return ""


def addresses(proc: Path = _PROC) -> list[Prefix]:
    """The client addresses of all ssh sessions, sorted; at most 256.

    Only direct children of an sshd are examined whose program file belongs to root. A logged-in
    user can still forge the address, by replacing the shell with a program of their own.
    """
    found = {client for process in _sessions(proc) if (client := _client(process))}
    return sorted(found)[:_SESSIONS_MAX]


def _sessions(proc: Path) -> Iterator[Path]:
    """The processes that an sshd has started."""
    for process in proc.iterdir():
        if process.name.isdecimal() and _is_daemon(proc / str(_parent(process))):
            yield process


def _is_daemon(process: Path) -> bool:
    try:
        name = Path(str((process / "exe").readlink()).removesuffix(" (deleted)"))
        about = name.stat()
    except OSError:
        return False
    return name.name in _DAEMONS and about.st_uid == 0


def _parent(process: Path) -> int:
    """The parent's pid; 0 if there is none, or the process has ended."""
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _client(process: Path) -> Prefix | None:
    try:
        with (process / "environ").open("rb") as file:
            variables = file.read(_ENVIRON_MAX).split(b"\0")
    except OSError:
        return None
    values = (each.removeprefix(_NAME) for each in variables if each.startswith(_NAME))
    words = next(values, b"").decode(errors="replace").split()
    return exact_address(words[0]) if words else None
