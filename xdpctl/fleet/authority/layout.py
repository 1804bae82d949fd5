# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the files of a fleet are on a node, and who may read them."""

import os
import pwd
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from xdpctl.base.system.owned_folder import Owned, read_file, replace_in, rewrite_file
from xdpctl.errors import ConfigError
from xdpctl.fleet.authority.certificates import Pair
from xdpctl.fleet.settings import CLIENTS, host_of

ADMIN = "root"  # etcd's name for whoever may do everything
_BYTES_MAX = 1 << 20
ETCD_USER = "etcd"


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders under the state directory; root writes there without following links.

    `authority`: root alone. `engine`: etcd's configuration, keys and data. `node`: this node's
    certificate, which the control plane reads and renews.
    """

    state_dir: Path
    user: str
    group: str

    @property
    def authority(self) -> Path:
        """The authority: its key, and what it has issued."""
        return self.state_dir / "authority"

    @property
    def engine(self) -> Path:
        return self.state_dir / "engine"

    @property
    def node(self) -> Path:
        """The certificate of this node."""
        return self.state_dir / "control" / "fleet"

    @property
    def joining(self) -> Path:
        """Sealed bundles for nodes that join."""
        return self.state_dir / "control" / "joining"

    @property
    def configuration(self) -> Path:
        return self.engine / "etcd.env"

    @property
    def data(self) -> Path:
        return self.engine / "data"

    @property
    def revoked(self) -> Path:
        """The list of revoked certificates, which the control plane writes and the engine reads."""
        return self.engine / "revoked.pem"

    @property
    def admin(self) -> tuple[Path, Path]:
        """The certificate and the key of whoever may do everything in the engine."""
        return self.authority / "admin.crt", self.authority / "admin.key"

    def prepare(self) -> None:
        """Make the folders, each for its owner. ConfigError if that is not possible."""
        user, group = _ids(self.user)
        etcd, etcd_group = _ids(ETCD_USER)
        with Owned(self.state_dir) as state:
            state.folder_for("authority", 0, 0, 0o700)
            state.folder_for("engine", etcd, etcd_group, 0o755)
            state.folder_for("control", user, group, 0o750)
            state.folder_for("control/fleet", user, group, 0o750)
            state.folder_for("control/joining", user, group, 0o750)

    def write_pair(self, folder: Path, name: str, pair: Pair, user: str) -> None:
        """Write a certificate and its key, which `user` alone may read."""
        for suffix, data, mode in (("crt", pair.certificate, 0o644), ("key", pair.key, 0o400)):
            self.write(folder / f"{name}.{suffix}", data, mode, user)

    def write(self, path: Path, data: bytes, mode: int, user: str = "root") -> None:
        """Write a file below the state directory for a user; ConfigError if that fails."""
        *above, name = path.relative_to(self.state_dir).parts
        try:
            with Owned(self.state_dir) as state, state.below(*above) as folder:
                replace_in(folder, name, data, mode, _ids(user))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error

    def rewrite(self, path: Path, data: bytes) -> None:
        """Overwrite an existing file of the control plane; ConfigError if that fails."""
        *above, name = path.relative_to(self.state_dir).parts
        try:
            with Owned(self.state_dir) as state, state.below(*above) as folder:
                rewrite_file(name, data, _ids(self.user)[0], folder)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error

    def remove_older(self, path: Path, seconds: float) -> None:
        """Remove the files of a folder below the state directory that are older than that."""
        above = path.relative_to(self.state_dir).parts
        with (
            Owned(self.state_dir) as state,
            state.below(*above) as folder,
            os.scandir(folder) as entries,
        ):
            for entry in list(entries):
                with suppress(FileNotFoundError):  # the API removes those that were used
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode) and time.time() - status.st_mtime > seconds:
                        os.unlink(entry.name, dir_fd=folder)

    def pair(self, folder: Path, name: str) -> Pair:
        """A certificate with its key; ConfigError if they cannot be read."""
        return Pair(self.read(folder / f"{name}.crt"), self.read(folder / f"{name}.key"))

    def read(self, path: Path) -> bytes:
        """A file; ConfigError if it cannot be read."""
        try:
            return read_file(path, _BYTES_MAX)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from error


def _ids(user: str) -> tuple[int, int]:
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        fix = "apt-get install etcd-server" if user == ETCD_USER else "see xdpctl doctor"
        raise ConfigError(f"there is no user {user}: {fix}") from None
    return account.pw_uid, account.pw_gid


def endpoints(addresses: Iterable[str]) -> list[str]:
    """Where etcd answers on hosts with these addresses, as HOST:PORT."""
    return [f"{host_of(address)}:{CLIENTS}" for address in addresses]
