# SPDX-License-Identifier: GPL-2.0-or-later
"""The clients that are logged in by ssh: addresses that no rule should block by mistake.

sshd sets SSH_CONNECTION (ssh(1)) for the processes that it starts for a user. sudo removes the
variable, so a command's own environment is not enough. Only root can read the environments of
other users' processes.

An address counts as logged in only if root's own process of that sshd holds a connection with it.
So a user without a login cannot name an address, and a user with one can name only their own.
"""

import os
import pwd
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from xdpctl.base.net.prefix import Prefix, exact_address, unmapped

_PROC = Path("/proc")
_NAME = b"SSH_CONNECTION="
_ENVIRON_MAX = 256 << 10  # bytes of an environment that are read
_LOGINS_MAX, _DEPTH_MAX = 256, 64
_DAEMONS = ("sshd", "sshd-session", "dropbear")
_GUARDED = "sshd"  # the user of sshd's process before somebody has logged in
_LITTLE = sys.byteorder == "little"
_ESTABLISHED = "01"  # the state in /proc/net/tcp


def own(pid: int | None = None, proc: Path = _PROC) -> str:
    """The client address of the ssh login that this process belongs to, "" if there is none.

    The process's parents are examined too, so this also works under sudo.
    """
    current = os.getpid() if pid is None else pid
    for _ in range(_DEPTH_MAX):
        client = _client(proc / str(current))
        if client:
            return str(client).split("/")[0]
        current = _parent(proc / str(current))
        if current <= 1:
            return ""
    return ""


def addresses(proc: Path = _PROC) -> list[Prefix]:
    """The client addresses of all ssh logins, sorted; at most 256."""
    unset, by_monitor = _user_of_unset_logins(), dict[Path, list[Path]]()
    for process in proc.iterdir():
        if process.name.isdecimal() and (monitor := _monitor(process, proc, unset)):
            by_monitor.setdefault(monitor, []).append(process)
    clients = set[Prefix]()
    for monitor, peers in _peers(by_monitor).items():
        for process in by_monitor[monitor]:
            clients |= peers if _is_daemon(process) else peers & {_client(process)}
    return sorted(clients)[:_LOGINS_MAX]


def _user_of_unset_logins() -> int:
    try:
        return pwd.getpwnam(_GUARDED).pw_uid
    except KeyError:
        return 0


def _monitor(process: Path, proc: Path, unset: int) -> Path | None:
    """Root's sshd process that logged in the owner of this process; None if there is none.

    This process is a program that sshd started for the user, or sshd's own process with the user's
    rights, which only forwards ports. Before the login, the latter belongs to the user sshd.
    """
    parent = proc / str(_parent(process))
    if not _is_daemon(parent):
        return None
    if _is_daemon(process):
        logged_in = _user(process) not in (0, unset, None)
        return parent if logged_in and _user(parent) == 0 else None
    if _user(parent) == 0:
        return parent
    above = proc / str(_parent(parent))
    return above if _is_daemon(above) and _user(above) == 0 else None


def _user(process: Path) -> int | None:
    """The process's effective user, as its number in our user namespace."""
    with suppress(OSError, ValueError, IndexError):
        for line in (process / "status").read_text().splitlines():
            if line.startswith("Uid:"):
                return int(line.split()[2])
    return None


def _sockets(process: Path) -> set[str]:
    """The inodes of the sockets that a process holds."""
    inodes: set[str] = set()
    for link in (process / "fd").iterdir():
        with suppress(OSError):
            kind, _, inode = str(link.readlink()).partition(":")
            if kind == "socket":
                inodes.add(inode.strip("[]"))
    return inodes


def _peers(processes: Iterable[Path]) -> dict[Path, set[Prefix]]:
    """The peers of each process's TCP connections; a process that has ended has no connections.

    The tables of a network namespace are read once, and line by line: a host may have hundreds of
    thousands of connections.
    """
    holders: dict[str, dict[str, Path]] = {}
    for process in processes:
        with suppress(OSError):
            of_namespace = holders.setdefault(str((process / "ns" / "net").readlink()), {})
            of_namespace |= dict.fromkeys(_sockets(process), process)
    peers: dict[Path, set[Prefix]] = {}
    for by_inode in holders.values():
        for inode, address in _connections(by_inode):
            peers.setdefault(by_inode[inode], set()).add(address)
    return peers


def _connections(by_inode: Mapping[str, Path]) -> Iterator[tuple[str, Prefix]]:
    """The inode and the peer of each connection of these processes, in one network namespace."""
    for name in ("tcp", "tcp6"):
        for process in dict.fromkeys(by_inode.values()):
            try:  # the process may have ended, and the host may have no IPv6
                with (process / "net" / name).open() as rows:
                    for line in rows:
                        row = line.split(maxsplit=10)
                        if len(row) > 9 and row[3] == _ESTABLISHED and row[9] in by_inode:
                            yield row[9], _address(row[2])
                break
            except OSError:
                continue


def _address(text: str) -> Prefix:
    """An address of /proc/net/tcp: words of 32 bits in the byte order of the host."""
    words = bytes.fromhex(text.partition(":")[0])
    host = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    packed = unmapped(host if _LITTLE else words)
    return Prefix(packed, len(packed) * 8)


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
    values = (variable.removeprefix(_NAME) for variable in variables if variable.startswith(_NAME))
    words = next(values, b"").decode(errors="replace").split()
    return exact_address(words[0]) if words else None
