# SPDX-License-Identifier: GPL-2.0-or-later
"""The etcd of this host: its configuration, its unit, its start, and its data from a backup."""

import os
import pwd
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from xdpctl.fleet.authority.layout import ETCD_USER, Layout
from xdpctl.fleet.authority.tools import SECONDS, run, tool
from xdpctl.fleet.settings import host_of

CLIENTS, PEERS = 2379, 2380
UNIT = "xdpctl-etcd.service"
_QUOTA = 8 << 30  # bytes
_UNITS = Path("/etc/systemd/system")


class Daemon:
    """etcd on this host."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

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
        host = host_of(address)
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

    def start(self) -> int:
        """Start this host's member by its unit; without systemd, as a process: its id."""
        if Path("/run/systemd/system").is_dir():
            self._write_unit([tool("etcd"), "--config-file", str(self._layout.configuration)])
            run("systemctl", "daemon-reload")
            run("systemctl", "enable", "--now", UNIT)
            return 0
        return self._spawned(self._layout.configuration).pid

    def begin_alone(self, wait: Callable[[], None]) -> None:
        """Make this host's member, which must be stopped, the only one; `wait` until it answers.

        etcd does that when it is started with `force-new-cluster`, which must not stay set.
        """
        once = self._layout.engine / "alone.yaml"
        settings = yaml.safe_load(self._layout.read(self._layout.configuration))
        text = yaml.safe_dump({**settings, "force-new-cluster": True}, sort_keys=False)
        self._layout.write(once, text.encode(), 0o644)
        process = self._spawned(once)
        try:
            wait()
        finally:
            process.terminate()
            process.wait(SECONDS)
            once.unlink()

    def _spawned(self, configuration: Path) -> "subprocess.Popen[bytes]":
        user = pwd.getpwnam(ETCD_USER)
        with (self._layout.engine / "log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603  # no shell; our own configuration
                [tool("etcd"), "--config-file", str(configuration)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=[],
                start_new_session=True,
                cwd="/",
            )

    def stop(self) -> None:
        """Stop this host's member, and let it stay stopped."""
        if Path("/run/systemd/system").is_dir():
            run("systemctl", "disable", "--now", UNIT)

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

    def restore(self, snapshot: Path, name: str, address: str, token: str) -> None:
        """Make this host's data of a snapshot, as the only member of a new cluster."""
        layout = self._layout
        peer = peers_url(address)
        if layout.data.exists():
            kept = layout.engine / f"data.before-{time.strftime('%Y%m%d-%H%M%S')}"
            layout.data.rename(kept)
        run(
            *(tool("etcdutl"), "snapshot", "restore", str(snapshot)),
            *("--data-dir", str(layout.data), "--name", name),
            *("--initial-cluster", f"{name}={peer}", "--initial-cluster-token", token),
            *("--initial-advertise-peer-urls", peer),
        )
        user = pwd.getpwnam(ETCD_USER)
        for path in (layout.data, *layout.data.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)


def peers_url(address: str) -> str:
    """Where other members reach one."""
    return f"https://{host_of(address)}:{PEERS}"
