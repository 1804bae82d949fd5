# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the BGP speaker's files, since its user cannot read the configuration."""

import os
import pwd
import stat
import sys
from collections.abc import Collection
from pathlib import Path

import msgspec

from xdpctl.base.system.extras import need
from xdpctl.base.system.owned_folder import Owned, read_file, replace_in
from xdpctl.config.settings import SPEAKER_FOLDER, Settings
from xdpctl.errors import ConfigError, SettingsError
from xdpctl.processes.children import identity
from xdpctl.upstream.bgp import exabgp
from xdpctl.upstream.bgp.setup import BEAT_SOCKET, BRIDGE, FILE, Limits, Setup
from xdpctl.upstream.peers import Peer, Receive
from xdpctl.upstream.settings import SPEAKER_USER

_FOLDER_MODE = 0o2750  # what is made in it belongs to the control plane's group, too
_PASSWORD_MAX = 80  # bytes: TCP_MD5SIG_MAXKEYLEN


def prepare(settings: Settings) -> tuple[int, int]:
    """Write the speaker's files; return its user and group.

    SettingsError if there are no peers, or if the user or the speaker is missing.
    """
    upstream = settings.upstream
    if not upstream.peers:
        raise SettingsError("no peer is configured: upstream.peers")
    need("bgp")
    user, group = _speaker(settings)
    control, common = identity(settings)
    folder = settings.speaker_dir
    setup = Setup(
        peers={peer.host: _limits(peer, len(upstream.own)) for peer in upstream.peers},
        own=[str(prefix) for prefix in upstream.own],
        socket=str(settings.speaker_socket.absolute()),
        state=str((folder / "announced.json").absolute()),
        beats=str((folder / BEAT_SOCKET).absolute()),
        users=[0, control],
    )
    bridge = [sys.executable, "-I", "-m", BRIDGE, str(folder.absolute() / FILE)]
    text = exabgp.configuration(upstream.peers, bridge, _passwords(upstream.peers))
    files = {FILE: msgspec.json.encode(setup), exabgp.FILE: text.encode("ascii")}
    with Owned(settings.state_dir) as above:
        above.folder_for(SPEAKER_FOLDER, user, common, _FOLDER_MODE)
        with above.below(SPEAKER_FOLDER) as fd:
            for name, data in files.items():
                replace_in(fd, name, data, 0o400, (user, group))
            _forget_others(fd, files)
    return user, group


def _forget_others(folder: int, written: Collection[str]) -> None:
    """Remove what was written for another speaker: it may have passwords."""
    for name in os.listdir(folder):
        if name.endswith((".conf", ".toml")) and name not in written:
            os.unlink(name, dir_fd=folder)


def _limits(peer: Peer, own: int) -> Limits:
    """What the bridge keeps of a peer, and may announce to it, with so many `own` prefixes."""
    return Limits(
        kept=0 if peer.receive is Receive.OFF else peer.receive_most,
        most=peer.most + (own if peer.originate else 0),
        blackhole_from=peer.blackhole_from,
        blackhole_from_ipv6=peer.blackhole_from_ipv6,
        draws=peer.returns is not None or peer.originate,
    )


def _speaker(settings: Settings) -> tuple[int, int]:
    """The speaker's user and group."""
    try:
        account = pwd.getpwnam(SPEAKER_USER)
    except KeyError:
        raise ConfigError(
            f"there is no user {SPEAKER_USER}; create it with systemd-sysusers, or useradd "
            f"--system --user-group --no-create-home --shell /usr/sbin/nologin {SPEAKER_USER}"
        ) from None
    if account.pw_uid == 0 or settings.user == SPEAKER_USER:
        raise SettingsError(
            f"the user {SPEAKER_USER} must be the speaker's own: it reads what comes from other "
            "networks"
        )
    return account.pw_uid, account.pw_gid


def _passwords(peers: tuple[Peer, ...]) -> dict[str, str]:
    """The password of each session that has one (RFC 2385)."""
    return {peer.name: _password(peer.password_file) for peer in peers if peer.password_file}


def _password(path: Path) -> str:
    try:
        data, status = read_file(path, 2 * _PASSWORD_MAX), path.stat()
    except OSError as error:
        raise ConfigError(f"the password of a peer cannot be read: {error}") from error
    if status.st_mode & stat.S_IROTH:
        raise SettingsError(f"everybody can read {path}, which has a password: chmod 0600 {path}")
    text = data.decode("ascii", "replace").rstrip("\n")
    plain = data.isascii() and text.isprintable() and not set(text) & set("\"'\\;{}#")
    if not plain or not 0 < len(text) <= _PASSWORD_MAX:
        raise SettingsError(
            f"{path} must have one line of 1 to {_PASSWORD_MAX} printable ASCII characters, "
            "without quotes, backslash, semicolon, braces and #"
        )
    return text
