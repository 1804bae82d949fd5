# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes and restores backups of engine and authority, or goes on with the last member."""

import os
import secrets
import shutil
import socket
import tarfile
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from xdpctl.errors import ConfigError, EngineError
from xdpctl.fleet.authority import age
from xdpctl.fleet.authority.authority import Authority
from xdpctl.fleet.authority.checks import check_address
from xdpctl.fleet.authority.daemon import HERE, Daemon
from xdpctl.fleet.authority.etcd import PREFIX, Etcd
from xdpctl.fleet.authority.layout import Layout, endpoints
from xdpctl.fleet.authority.tools import run, tool
from xdpctl.fleet.settings import CLIENTS

_SNAPSHOT_SECONDS = 600.0


ENCRYPTED = ".age"  # the end of the name of an archive that is encrypted for the operator's key


def backup(authority: Authority, path: Path, tried: bool = False) -> int:
    """Write the engine's content and the authority into an archive; its size in bytes.

    With a name that ends in .age it is encrypted. `tried`: its content is restored into a folder
    that is thrown away, before it replaces an earlier one.
    """
    folder, addresses = authority.layout.authority, authority.endpoints()
    recipient = authority.record().recipient
    if path.suffix == ENCRYPTED and not recipient:
        raise ConfigError(f"{path} cannot be encrypted: give a key first, xdpctl fleet deposit KEY")
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        snapshot = Path(temporary) / "engine.db"
        _save(authority, addresses, snapshot)
        if tried:
            restored = ("snapshot", "restore", str(snapshot), "--data-dir", f"{temporary}/tried")
            run(tool("etcdutl"), *restored, seconds=_SNAPSHOT_SECONDS)
        fresh = path.with_name(f".{path.name}.new")
        try:
            plain = Path(temporary) / "fleet.tar.gz"
            _write(plain, snapshot, folder)
            if path.suffix == ENCRYPTED:
                secret = plain.with_suffix(ENCRYPTED)
                age.encrypt_file(plain, secret, recipient)
                plain = secret
            with plain.open("rb") as source, os.fdopen(_created(fresh), "wb") as target:
                shutil.copyfileobj(source, target)
            fresh.rename(path)
        except (OSError, EngineError) as error:
            fresh.unlink(missing_ok=True)
            why = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(f"{path}: {why}; nothing was written") from error
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


def _created(path: Path) -> int:
    """A new file that only root reads; never one that a link names."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)


def _write(path: Path, snapshot: Path, folder: Path) -> None:
    with (
        os.fdopen(_created(path), "wb") as file,
        tarfile.open(fileobj=file, mode="w:gz") as archive,
    ):
        archive.add(snapshot, "engine.db")
        for entry in sorted(folder.iterdir()):
            if entry.is_file():
                archive.add(entry, f"authority/{entry.name}")


def restore(
    authority: Authority, path: Path, name: str, address: str, identity: Path | None = None
) -> int:
    """Make this host the only member of the engine, with the backup's content; etcd's process id.

    `identity` is the operator's key, which opens an encrypted backup.

    Nodes that this host knows to be revoked stay revoked, even if the backup is older. ConfigError
    if the file is no backup, or the engine works here; then nothing was changed.
    """
    check_address(address)
    layout = authority.layout
    layout.prepare()
    with tempfile.TemporaryDirectory(dir=layout.authority) as temporary:
        folder = Path(temporary)
        if path.suffix == ENCRYPTED:
            path = _opened(path, identity, folder / "fleet.tar.gz")
        try:
            with tarfile.open(path) as archive:
                archive.extractall(folder, filter="data")
        except (OSError, tarfile.TarError) as error:
            raise ConfigError(f"{path} is not a backup: {error}") from error
        if not (folder / "engine.db").is_file() or not (folder / "authority").is_dir():
            raise ConfigError(f"{path} is not a backup of `xdpctl fleet backup`")
        later = authority.record() if authority.exists else None
        made = int((folder / "engine.db").stat().st_mtime * 1000)
        _stop(layout, address)
        Daemon(layout).restore(folder / "engine.db", name, address, secrets.token_hex(4))
        for file in (folder / "authority").iterdir():
            layout.write(layout.authority / file.name, file.read_bytes(), 0o600)
    authority.begin_anew(name, address, later)
    begin = partial(Etcd(layout, [HERE]).begin_epoch, made)
    process = authority.start_member(name, address, begin)
    engine = authority.engine()
    engine.publish_members(PREFIX)
    authority.publish_revoked()
    return process


def _opened(path: Path, identity: Path | None, plain: Path) -> Path:
    """Decrypt a backup; the file without encryption."""
    if identity is None:
        raise ConfigError(f"{path} is encrypted: give the key that opens it, --identity FILE")
    age.decrypt_file(path, plain, identity)
    return plain


def recover(authority: Authority, name: str, address: str) -> int:
    """Let this host's member go on alone, after the others were lost; etcd's process id.

    All nodes then compare what they have with this member, which may have been behind the others.
    """
    check_address(address)
    if not authority.layout.configuration.exists():
        raise ConfigError(f"this host is no member: there is no {authority.layout.configuration}")
    daemon = Daemon(authority.layout)
    if (own_name := daemon.name()) != name:
        raise ConfigError(f"--name is {name[:40]!r}, and this host's member is {own_name!r}")
    _stop(authority.layout, address)
    mine = Etcd(authority.layout, endpoints([address]))
    daemon.begin(Etcd(authority.layout, [HERE]).begin_epoch, alone=True)
    process = daemon.start()
    mine.wait()
    mine.publish_members(PREFIX)
    if authority.exists:
        authority.begin_anew(name, address, same=True)
        authority.publish_revoked()
    return process


def _stop(layout: Layout, address: str) -> None:
    """Stop this host's etcd. ConfigError if the engine works, since nodes use it."""
    if layout.configuration.exists():
        try:
            Etcd(layout, endpoints([address])).ctl("endpoint", "health")
        except (ConfigError, EngineError):
            Daemon(layout).stop()
        else:
            raise ConfigError(
                "the engine works, and nodes use it; nothing was changed. To replace it all the "
                "same, stop etcd on each member first"
            )
    try:
        socket.create_connection((address, CLIENTS), 2).close()
    except OSError:
        return
    raise ConfigError(f"another etcd answers at {address} port {CLIENTS}: stop it first")
