# SPDX-License-Identifier: GPL-2.0-or-later
"""etcd as root runs it: its configuration and unit, its users and roles, its backups.

What etcdctl and etcdutl do, they do: they are in Debian's etcd-client.
"""

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from xdpctl.errors import ConfigError, EngineError
from xdpctl.fleet import keys
from xdpctl.fleet.authority.layout import ETCD_USER, Layout

CLIENTS, PEERS = 2379, 2380
UNIT = "xdpctl-etcd.service"
STATES = "states"  # the role of nodes that may state intents
_SECONDS, _PROMOTE_SECONDS = 20.0, 90.0
_QUOTA = 8 << 30  # bytes
_UNITS = Path("/etc/systemd/system")


class Etcd:
    """This host's member, and the engine as its administrator."""

    def __init__(self, layout: Layout, endpoints: Sequence[str]) -> None:
        self._layout, self._endpoints = layout, tuple(endpoints)

    def configure(
        self, name: str, address: str, initial_cluster: str, new: bool, token: str
    ) -> None:
        """Write the configuration of this host's member."""
        engine = self._layout.engine
        secured = {
            "cert-file": str(engine / "server.crt"),
            "key-file": str(engine / "server.key"),
            "client-cert-auth": True,
            "trusted-ca-file": str(engine / "ca.crt"),
        }
        host = f"[{address}]" if ":" in address else address
        settings = {
            "name": name,
            "data-dir": str(self._layout.data),
            "listen-client-urls": f"https://{host}:{CLIENTS}",
            "advertise-client-urls": f"https://{host}:{CLIENTS}",
            "listen-peer-urls": f"https://{host}:{PEERS}",
            "initial-advertise-peer-urls": f"https://{host}:{PEERS}",
            "initial-cluster": initial_cluster,
            "initial-cluster-token": token,
            "initial-cluster-state": "new" if new else "existing",
            "enable-grpc-gateway": False,
            "log-level": "warn",
            "max-txn-ops": 1024,
            "auto-compaction-mode": "periodic",
            "auto-compaction-retention": "1h",
            "quota-backend-bytes": _QUOTA,
            "client-transport-security": {
                **secured,
                "client-crl-file": str(engine / "revoked.pem"),
            },
            "peer-transport-security": secured,
        }
        text = yaml.safe_dump(settings, sort_keys=False)
        self._layout.write(self._layout.configuration, text.encode(), 0o644)

    def start(self, *more: str) -> int:
        """Start this host's member by its unit; without systemd, as a process: its id."""
        command = [_tool("etcd"), "--config-file", str(self._layout.configuration), *more]
        if not more and Path("/run/systemd/system").is_dir():
            self._write_unit(command)
            _run("systemctl", "daemon-reload")
            _run("systemctl", "enable", "--now", UNIT)
            return 0
        user = pwd.getpwnam(ETCD_USER)
        with (self._layout.engine / "log").open("ab") as log:
            started = subprocess.Popen(  # noqa: S603  # no shell; our own configuration
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=[],
                start_new_session=True,
                cwd="/",
            )
        return started.pid

    def stop(self) -> None:
        """Stop this host's member, and let it stay stopped."""
        if Path("/run/systemd/system").is_dir():
            _run("systemctl", "disable", "--now", UNIT)

    def _write_unit(self, command: Sequence[str]) -> None:
        text = f"""# Written by xdpctl fleet.
[Unit]
Description=etcd of the xdpctl fleet
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
User={ETCD_USER}
ExecStart={" ".join(command)}
Restart=on-failure
RestartSec=2
LimitNOFILE=65536
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={self._layout.engine}
ProtectHome=yes
PrivateTmp=yes

[Install]
WantedBy=multi-user.target
"""
        self._layout.write(_UNITS / UNIT, text.encode(), 0o644)

    def wait(self) -> None:
        """Wait until the engine answers; EngineError if it does not in time."""
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                self.ctl("endpoint", "health")
                return
            except EngineError as error:
                if time.monotonic() > deadline:
                    log = self._layout.engine / "log"
                    raise EngineError(
                        f"{error}; etcd's log: {log}, or journalctl -u {UNIT}"
                    ) from None
                time.sleep(0.2)

    def ctl(self, *words: str) -> str:
        """Run etcdctl as the administrator; its output. EngineError if it fails."""
        certificate, key = self._layout.admin
        command = [_tool("etcdctl"), "--endpoints", ",".join(self._endpoints)]
        command += ["--cacert", str(self._layout.authority / "ca.crt")]
        command += ["--cert", str(certificate), "--key", str(key), "--command-timeout", "5s"]
        return _run(*command, *words)

    def found(self, prefix: str, fleet: str) -> None:
        """Make the administrator and the role of those who state; from now on names decide."""
        self.ctl("user", "add", "root", "--no-password")
        self.ctl("role", "add", "root")
        self.ctl("user", "grant-role", "root", "root")
        self.ctl("role", "add", STATES)
        for area in keys.STATED:
            self.ctl(
                "role", "grant-permission", STATES, "readwrite", "--prefix=true", prefix + area
            )
        self.ctl("put", prefix + keys.FLEET, fleet)
        self.ctl("auth", "enable")

    def add_node(self, prefix: str, name: str, states: bool) -> None:
        """Let a node read everything, and write its own and, if it `states`, intents."""
        for words in node_roles(prefix, name, states):
            self.ctl(*words)

    def remove_node(self, prefix: str, name: str) -> None:
        """Let a node do nothing any more, and forget what it said of itself."""
        for words in (("user", "delete", name), ("role", "delete", f"node-{name}")):
            try:
                self.ctl(*words)
            except EngineError as error:
                if "not found" not in str(error):
                    raise
        for area in keys.OWN:
            self.ctl("del", "--prefix", f"{prefix}{area}{name}/")

    def members(self) -> dict[str, str]:
        """The ids of the members, by name; a member that has not started has no name."""
        lines = [line.split(", ") for line in self.ctl("member", "list").splitlines()]
        return {fields[2]: fields[0] for fields in lines if len(fields) > 2}

    def add_member(self, name: str, address: str) -> str:
        """Let another host become a member; the members as its configuration needs them."""
        host = f"[{address}]" if ":" in address else address
        said = self._when_healthy(
            "member", "add", name, "--learner", f"--peer-urls=https://{host}:{PEERS}"
        )
        found = [line for line in said.splitlines() if line.startswith("ETCD_INITIAL_CLUSTER=")]
        return found[0].partition("=")[2].strip('"') if found else ""

    def _when_healthy(self, *words: str) -> str:
        """The same as `ctl`, once the members have found each other: one may just have joined."""
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                return self.ctl(*words)
            except EngineError as error:
                if "unhealthy" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def promote(self, name: str) -> None:
        """Let a member vote, once it has caught up; EngineError if it does not in time."""
        deadline = time.monotonic() + _PROMOTE_SECONDS
        while True:
            try:
                self.ctl("member", "promote", self.members()[name])
                return
            except (EngineError, KeyError) as error:
                if time.monotonic() > deadline or "not a learner" in str(error):
                    raise EngineError(f"{name} is no voting member: {error}") from None
                time.sleep(0.3)


def node_roles(prefix: str, name: str, states: bool) -> list[tuple[str, ...]]:
    """The words of etcdctl that give a node its rights."""
    role = f"node-{name}"
    words: list[tuple[str, ...]] = [
        ("role", "add", role),
        ("role", "grant-permission", role, "read", "--prefix=true", prefix),
    ]
    words += [
        ("role", "grant-permission", role, "readwrite", "--prefix=true", f"{prefix}{area}{name}/")
        for area in keys.OWN
    ]
    words += [("user", "add", name, "--no-password"), ("user", "grant-role", name, role)]
    return [*words, *([("user", "grant-role", name, STATES)] if states else [])]


def restore(snapshot: Path, layout: Layout, name: str, address: str, token: str) -> None:
    """Make this host's data of a backup, as the only member of a new cluster."""
    host = f"[{address}]" if ":" in address else address
    peer = f"https://{host}:{PEERS}"
    if layout.data.exists():
        kept = layout.engine / f"data.before-{time.strftime('%Y%m%d-%H%M%S')}"
        layout.data.rename(kept)
    _run(
        *(_tool("etcdutl"), "snapshot", "restore", str(snapshot), "--data-dir", str(layout.data)),
        *("--name", name, "--initial-cluster", f"{name}={peer}"),
        *("--initial-cluster-token", token, "--initial-advertise-peer-urls", peer),
    )
    user = pwd.getpwnam(ETCD_USER)
    for path in (layout.data, *layout.data.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        package = "etcd-server" if name == "etcd" else "etcd-client"
        raise ConfigError(f"{name} is missing: apt-get install {package}")
    return found


def _run(*command: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  # no shell
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{command[0]}: {error}") from error
    if done.returncode:
        said = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise EngineError(f"{Path(command[0]).name}: {(said or ['it failed'])[-1][:300]}")
    return done.stdout
