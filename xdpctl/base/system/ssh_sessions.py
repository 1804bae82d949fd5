# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is logged in by ssh: the addresses that no rule should cut off by mistake.

sshd gives SSH_CONNECTION (ssh(1)) to what it starts for a user who has logged in; sudo takes it
away again, so a command's own environment is not enough. Environments of other users' processes
are readable by root alone.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from xdpctl.base.net.prefix import Prefix, exact_address

_PROC = Path("/proc")
_NAME = b"SSH_CONNECTION="
_ENVIRON_MAX = 256 << 10  # bytes of an environment that are looked at
_SESSIONS_MAX, _DEPTH_MAX = 256, 64
_DAEMONS = ("sshd", "sshd-session", "dropbear")


def own(pid: int | None = None, proc: Path = _PROC) -> str:
    """The client's address of the session that this process belongs to, through sudo; else ""."""
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
    """Of everybody who is logged in by ssh, sorted.

    Only direct children of an sshd are asked whose program root owns. A user who is logged in can
    still name another address than his own, by what he starts in the place of his shell.
    """
    found = {client for process in _sessions(proc) if (client := _client(process))}
    return sorted(found)[:_SESSIONS_MAX]


def _sessions(proc: Path) -> Iterator[Path]:
    """Processes that an sshd has started."""
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
    """0 if there is none, or it has ended."""
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
    values = (one.removeprefix(_NAME) for one in variables if one.startswith(_NAME))
    words = next(values, b"").decode(errors="replace").split()
    return exact_address(words[0]) if words else None
