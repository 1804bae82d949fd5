# SPDX-License-Identifier: GPL-2.0-or-later
"""Backups of the engine and the authority, and beginning anew with one, or with one member left."""

import os
import secrets
import tarfile
import tempfile
from pathlib import Path

from xdpctl.errors import ConfigError
from xdpctl.fleet.authority.authority import Authority
from xdpctl.fleet.authority.daemon import CLIENTS, Daemon
from xdpctl.fleet.authority.etcd import Etcd
from xdpctl.fleet.settings import host_of


def backup(authority: Authority, path: Path) -> int:
    """Write the engine's content and the authority into an archive; its size in bytes."""
    folder = authority.layout.authority
    with tempfile.TemporaryDirectory(dir=folder) as made:
        snapshot = Path(made) / "engine.db"
        one = Etcd(authority.layout, authority.endpoints()[:1])
        one.ctl("snapshot", "save", str(snapshot))
        fresh = path.with_name(f".{path.name}.new")
        try:
            _write(fresh, snapshot, folder)
            fresh.rename(path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise ConfigError(f"{path}: {error.strerror}; nothing was written") from error
    return path.stat().st_size


def _write(path: Path, snapshot: Path, folder: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        archive.add(snapshot, "engine.db")
        for each in sorted(folder.iterdir()):
            if each.is_file():
                archive.add(each, f"authority/{each.name}")


def restore(authority: Authority, path: Path, name: str, address: str) -> int:
    """Make this host the only member of the engine as it was; etcd's process id."""
    layout = authority.layout
    layout.prepare()
    with tempfile.TemporaryDirectory(dir=layout.authority) as made:
        folder = Path(made)
        try:
            with tarfile.open(path) as archive:
                archive.extractall(folder, filter="data")
        except (OSError, tarfile.TarError) as error:
            raise ConfigError(f"{path} is not a backup: {error}") from error
        if not (folder / "engine.db").exists():
            raise ConfigError(f"{path} is not a backup of `xdpctl fleet backup`")
        for each in (folder / "authority").iterdir():
            layout.write(layout.authority / each.name, each.read_bytes(), 0o600)
        Daemon(layout).restore(folder / "engine.db", name, address, secrets.token_hex(4))
    authority.only_member(name, address)
    return authority.start_member(name, address)


def recover(authority: Authority, name: str, address: str) -> int:
    """Let this host's member go on alone, after the others were lost; etcd's process id."""
    daemon = Daemon(authority.layout)
    mine = Etcd(authority.layout, [f"{host_of(address)}:{CLIENTS}"])
    daemon.begin_alone(mine.wait)
    process = daemon.start()
    mine.wait()
    if authority.exists:
        authority.only_member(name, address)
    return process
