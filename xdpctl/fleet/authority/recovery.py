# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes and restores backups of engine and authority, or goes on with the last member."""

import os
import secrets
import socket
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from xdpctl.errors import ConfigError, EngineError
from xdpctl.fleet.authority.authority import PREFIX, Authority
from xdpctl.fleet.authority.checks import check_address
from xdpctl.fleet.authority.daemon import Daemon
from xdpctl.fleet.authority.etcd import Etcd
from xdpctl.fleet.authority.layout import endpoints
from xdpctl.fleet.settings import CLIENTS

_SNAPSHOT_SECONDS = 600.0


def backup(authority: Authority, path: Path) -> int:
    """Write the engine's content and the authority into an archive; its size in bytes."""
    folder, addresses = authority.layout.authority, authority.endpoints()
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        snapshot = Path(temporary) / "engine.db"
        _save(authority, addresses, snapshot)
        fresh = path.with_name(f".{path.name}.new")
        try:
            _write(fresh, snapshot, folder)
            fresh.rename(path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise ConfigError(f"{path}: {error.strerror}; nothing was written") from error
    return path.stat().st_size


def _save(authority: Authority, addresses: Sequence[str], snapshot: Path) -> None:
    """The content of the first member that answers."""
    for number, address in enumerate(addresses, 1):
        etcd = Etcd(authority.layout, [address])
        try:
            etcd.ctl("endpoint", "health")
        except EngineError:
            if number == len(addresses):
                raise
            continue
        etcd.ctl("snapshot", "save", str(snapshot), seconds=_SNAPSHOT_SECONDS)
        return


def _write(path: Path, snapshot: Path, folder: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        archive.add(snapshot, "engine.db")
        for entry in sorted(folder.iterdir()):
            if entry.is_file():
                archive.add(entry, f"authority/{entry.name}")


def restore(authority: Authority, path: Path, name: str, address: str) -> int:
    """Make this host the only member of the engine, with the backup's content; etcd's process id.

    Nodes that this host knows to be revoked stay revoked, even if the backup is older. ConfigError
    if the file is no backup, or etcd answers here; then nothing was changed.
    """
    check_address(address)
    layout = authority.layout
    layout.prepare()
    _refuse_if_running(address)
    with tempfile.TemporaryDirectory(dir=layout.authority) as temporary:
        folder = Path(temporary)
        try:
            with tarfile.open(path) as archive:
                archive.extractall(folder, filter="data")
        except (OSError, tarfile.TarError) as error:
            raise ConfigError(f"{path} is not a backup: {error}") from error
        if not (folder / "engine.db").is_file() or not (folder / "authority").is_dir():
            raise ConfigError(f"{path} is not a backup of `xdpctl fleet backup`")
        later = authority.record() if authority.exists else None
        Daemon(layout).restore(folder / "engine.db", name, address, secrets.token_hex(4))
        for file in (folder / "authority").iterdir():
            layout.write(layout.authority / file.name, file.read_bytes(), 0o600)
    authority.begin_anew(name, address, later)
    process = authority.start_member(name, address)
    engine = authority.engine()
    engine.begin_epoch(PREFIX)
    engine.publish_members(PREFIX)
    authority.publish_revoked()
    return process


def recover(authority: Authority, name: str, address: str) -> int:
    """Let this host's member go on alone, after the others were lost; etcd's process id.

    All nodes then compare what they have with this member, which may have been behind the others.
    """
    check_address(address)
    if not authority.layout.configuration.exists():
        raise ConfigError(f"this host is no member: there is no {authority.layout.configuration}")
    _refuse_if_running(address)
    daemon = Daemon(authority.layout)
    if (own_name := daemon.name()) != name:
        raise ConfigError(f"--name is {name[:40]!r}, and this host's member is {own_name!r}")
    mine = Etcd(authority.layout, endpoints([address]))

    def begin() -> None:
        mine.wait()
        mine.begin_epoch(PREFIX)

    daemon.begin_alone(begin)
    process = daemon.start()
    mine.wait()
    mine.publish_members(PREFIX)
    if authority.exists:
        authority.begin_anew(name, address)
    return process


def _refuse_if_running(address: str) -> None:
    try:
        socket.create_connection((address, CLIENTS), 2).close()
    except OSError:
        return
    raise ConfigError(f"etcd answers at {address} port {CLIENTS}: stop it first")
