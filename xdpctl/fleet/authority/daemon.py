# SPDX-License-Identifier: GPL-2.0-or-later
"""The etcd of this host: its configuration, its unit, its start, and its data from a backup."""

import os
import pwd
import secrets
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from xdpctl.base.system.children import end_other, end_process
from xdpctl.fleet.authority import timers, units
from xdpctl.fleet.authority.layout import ETCD_USER, Layout
from xdpctl.fleet.authority.tools import SECONDS, run, tool
from xdpctl.fleet.settings import CLIENTS, PEERS, QUOTA, SERVER_NAME, host_of

HERE = f"127.0.0.1:{CLIENTS}"  # where it answers while only this host may use it


_HEARTBEAT, _ELECTION = "ETCD_HEARTBEAT_INTERVAL", "ETCD_ELECTION_TIMEOUT"  # milliseconds


class Daemon:
    """etcd on this host."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._process: subprocess.Popen[bytes] | None = None

    def configure(
        self,
        name: str,
        address: str,
        initial_cluster: str,
        new: bool,
        token: str,
        extra: Mapping[str, str] = MappingProxyType({}),
        heartbeat: int = 0,
    ) -> None:
        """Write the configuration of this host's member: etcd's flags, as its environment.

        etcd ignores lists of revoked certificates in a configuration file. `heartbeat` is in
        milliseconds; 0: the shortest.
        """
        flags = self._configured(name, address, initial_cluster, new, token)
        lines = {
            f"ETCD_{flag.upper().replace('-', '_')}": str(value) for flag, value in flags.items()
        }
        self._write(lines | dict(extra) | _timers(heartbeat or timers.heartbeat(0.0)))

    def _write(self, lines: Mapping[str, str]) -> None:
        text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in lines.items())
        self._layout.write(self._layout.configuration, text.encode(), 0o644)

    @property
    def heartbeat(self) -> int:
        """Milliseconds between the heartbeats of this host's member."""
        return int(self._flags().get(_HEARTBEAT) or timers.heartbeat(0.0))

    def retime(self, heartbeat: int) -> None:
        """Give this host's member another heartbeat (milliseconds), and restart it if it runs."""
        self._write(self._flags() | _timers(heartbeat))
        if units.systemd():
            units.restart(units.ETCD)
        elif process := self.process:
            end_other(process, SECONDS)
            self._spawned()

    def _configured(
        self, name: str, address: str, initial_cluster: str, new: bool, token: str
    ) -> dict[str, object]:
        engine, host = self._layout.engine, host_of(address)
        secured = {
            "cert-file": engine / "server.crt",
            "key-file": engine / "server.key",
            "trusted-ca-file": engine / "ca.crt",
        }
        return {
            "name": name,
            "data-dir": self._layout.data,
            "listen-client-urls": f"https://{host}:{CLIENTS}",
            "advertise-client-urls": f"https://{host}:{CLIENTS}",
            "listen-peer-urls": peers_url(address),
            "initial-advertise-peer-urls": peers_url(address),
            "initial-cluster": initial_cluster,
            "initial-cluster-token": token,
            "initial-cluster-state": "new" if new else "existing",
            "enable-grpc-gateway": "false",
            "log-level": "warn",
            "max-txn-ops": 1024,
            "snapshot-count": 10_000,  # entries of the log that it keeps in memory
            "auto-compaction-mode": "periodic",
            "auto-compaction-retention": "1h",
            "quota-backend-bytes": QUOTA,
            # members compare their data when they start, and after each compaction
            "experimental-initial-corrupt-check": "true",
            "experimental-compact-hash-check-enabled": "true",
            **secured,
            "client-cert-auth": "true",
            "client-crl-file": self._layout.revoked,
            **{f"peer-{flag}": value for flag, value in secured.items()},
            "peer-client-cert-auth": "true",
            "peer-crl-file": self._layout.revoked,
            # a node's certificate has the same authority, and must not be accepted as a member's
            "peer-cert-allowed-hostname": SERVER_NAME,
        }

    def start(self, often: bool = False) -> int:
        """Start this host's member by its unit, and return 0; without systemd, as a process.

        Then its process id is returned. `often`: the upkeep runs every five minutes.
        """
        if units.systemd():
            units.enable(units.ETCD, {units.ETCD: self.unit(tool("etcd"))})
            units.enable(units.TIMER, units.upkeep(self._layout.state_dir, often))
            return 0
        self._process = self._spawned()
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the process that `start` began has ended on its own."""
        return self._process is not None and self._process.poll() is not None

    def begin(self, work: Callable[[], None], alone: bool = False) -> None:
        """Run this host's member, which must be stopped, for this host alone while `work` runs.

        With `alone` it becomes the only one: etcd does that when it is started with
        `force-new-cluster`, which must not stay set.
        """
        extra = {"ETCD_LISTEN_CLIENT_URLS": f"https://{HERE}"}
        process = self._spawned(extra | ({"ETCD_FORCE_NEW_CLUSTER": "true"} if alone else {}))
        try:
            work()
        finally:
            end_process(process, SECONDS)

    def name(self) -> str:
        """The name of this host's member."""
        return self._flags().get("ETCD_NAME", "")

    def endpoint(self) -> str:
        """Where this host's member answers, as HOST:PORT."""
        return self._flags().get("ETCD_ADVERTISE_CLIENT_URLS", "").removeprefix("https://")

    def _flags(self) -> dict[str, str]:
        text = self._layout.read(self._layout.configuration).decode(errors="replace")
        words = (word.partition("=") for word in shlex.split(text))
        return {flag: value for flag, _, value in words}

    def _spawned(
        self, extra: Mapping[str, str] = MappingProxyType({})
    ) -> "subprocess.Popen[bytes]":
        """Start etcd as its own user, who also opens the log in a folder of that user."""
        flags, user = self._flags(), pwd.getpwnam(ETCD_USER)
        return subprocess.Popen(  # noqa: S603  # our own command
            ["/bin/sh", "-c", 'exec "$0" >>"$1" 2>&1', tool("etcd"), self._layout.engine / "log"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", os.defpath), **flags, **extra},
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            start_new_session=True,
            cwd="/",
        )

    def stop(self) -> None:
        """Stop this host's member, and wait until it has ended; its units are disabled."""
        units.disable(units.ETCD)
        units.disable(units.TIMER)
        if process := self.process:
            end_other(process, SECONDS)

    @property
    def process(self) -> int:
        """The process of this host's member; 0 if it does not run."""
        return _holder(self._layout.data / "member" / "snap" / "db")

    def end(self) -> None:
        """Stop what `start` has started."""
        if self._process is not None:
            end_process(self._process, SECONDS)
        self.stop()

    def unit(self, program: str) -> str:
        """The text of the unit that runs `program` as this host's member."""
        layout = self._layout
        return units.etcd(ETCD_USER, layout.configuration, program, layout.engine)

    def restore(self, snapshot: Path, name: str, address: str, token: str) -> None:
        """Make this host's data from a snapshot, as the only member of a new cluster.

        etcd's user does it, in its own folder. Earlier data is kept beside the new data.
        """
        layout, peer, user = self._layout, peers_url(address), pwd.getpwnam(ETCD_USER)
        if layout.data.exists():
            old_name = f"data.before-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
            layout.data.rename(layout.engine / old_name)
        with tempfile.TemporaryDirectory(dir=layout.state_dir) as lent:
            copy = Path(shutil.copy(snapshot, lent))
            for path in (copy, Path(lent)):  # root's until here, so no user could place a link
                os.chown(path, user.pw_uid, user.pw_gid)
            run(
                *(tool("etcdutl"), "snapshot", "restore", str(copy)),
                *("--data-dir", str(layout.data), "--name", name),
                *("--initial-cluster", f"{name}={peer}", "--initial-cluster-token", token),
                *("--initial-advertise-peer-urls", peer),
                user=ETCD_USER,
            )


def _holder(database: Path) -> int:
    """The process of etcd that has locked its database (flock(2)); 0 if none has."""
    if not database.exists():
        return 0
    status = database.stat()
    where = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if "FLOCK" in fields and where in fields:
            process = int(fields[fields.index("FLOCK") + 3])
            with suppress(OSError):  # it may have ended
                if Path(f"/proc/{process}/comm").read_text().strip() == "etcd":
                    return process
    return 0


def address_of(url: str) -> str:
    """The address in such a URL."""
    return url.removeprefix("https://").rpartition(":")[0].strip("[]")


def peers_url(address: str) -> str:
    """The URL at which other members reach the member at an address."""
    return f"https://{host_of(address)}:{PEERS}"


def _timers(heartbeat: int) -> dict[str, str]:
    return {_HEARTBEAT: str(heartbeat), _ELECTION: str(timers.ELECTION * heartbeat)}
