# SPDX-License-Identifier: GPL-2.0-or-later
"""The systemd units that `xdpctl fleet` writes: etcd, a daily upkeep, a relay."""

import sys
from collections.abc import Mapping
from pathlib import Path

from xdpctl.base.system.owned_folder import replace_file
from xdpctl.errors import ConfigError, EngineError
from xdpctl.fleet.authority.tools import run

ETCD, UPKEEP, TIMER = "xdpctl-etcd.service", "xdpctl-upkeep.service", "xdpctl-upkeep.timer"
CONTROL, RELAY = "xdpctl.service", "xdpctl-relay.service"
_RESTART_SECONDS = 120.0
_FOLDER = Path("/etc/systemd/system")

# of a service that needs no rights, and writes into one folder
_SANDBOX = """\
UMask=0077
CapabilityBoundingSet=
LockPersonality=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
ReadWritePaths={folder}
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
"""

_ETCD_TEXT = """\
# Written by xdpctl fleet.
[Unit]
Description=etcd of the xdpctl fleet
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
User={user}
EnvironmentFile={configuration}
ExecStart={program}
Restart=on-failure
RestartSec=2
LimitNOFILE=65536
MemoryDenyWriteExecute=yes
ProtectHome=yes
{sandbox}
[Install]
WantedBy=multi-user.target
"""

_UPKEEP_TEXT = """\
# Written by xdpctl fleet.
[Unit]
Description=upkeep of the xdpctl fleet: certificates, backups, the database
After=xdpctl-etcd.service

[Service]
Type=oneshot
ExecStart={python} -I -m xdpctl fleet upkeep --state-dir {state}
TimeoutStartSec=1h
Nice=10
UMask=0077
NoNewPrivileges=yes
ProtectHome=read-only
PrivateTmp=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
"""

_RELAY_TEXT = """\
# Written by xdpctl fleet.
[Unit]
Description=relay of the xdpctl fleet
After=network-online.target
Wants=network-online.target

[Service]
User={user}
ExecStart={python} -I -m xdpctl fleet relay --config {config}
Restart=always
RestartSec=2
LimitNOFILE=65536
ProtectHome=read-only
{sandbox}
[Install]
WantedBy=multi-user.target
"""

# members are hardly defragmented at the same time
_DAILY = "OnCalendar=daily\nRandomizedDelaySec=6h\nFixedRandomDelay=yes\n"
_OFTEN = "OnCalendar=*:0/5\n"  # a witness has no control plane that takes over who is revoked
_TIMER_TEXT = """\
# Written by xdpctl fleet.
[Unit]
Description=when the upkeep of the xdpctl fleet runs

[Timer]
{when}Persistent=yes

[Install]
WantedBy=timers.target
"""


def systemd() -> bool:
    """Whether systemd runs this host."""
    return Path("/run/systemd/system").is_dir()


def etcd(user: str, configuration: Path, program: str, folder: Path) -> str:
    """The text of the unit that runs `program`, which writes into a folder."""
    sandbox = _SANDBOX.format(folder=folder)
    return _ETCD_TEXT.format(
        user=user, configuration=configuration, program=program, sandbox=sandbox
    )


def relay(user: str, config: Path, folder: Path) -> str:
    """The text of the unit of a relay, which writes into the folder of its certificate."""
    sandbox = _SANDBOX.format(folder=folder)
    return _RELAY_TEXT.format(user=user, python=sys.executable, config=config, sandbox=sandbox)


def upkeep(state_dir: Path, often: bool = False) -> dict[str, str]:
    """The texts of the units of the upkeep, by name: daily, or every five minutes."""
    text = _UPKEEP_TEXT.format(python=sys.executable, state=state_dir)
    return {UPKEEP: text, TIMER: _TIMER_TEXT.format(when=_OFTEN if often else _DAILY)}


def enable(name: str, texts: Mapping[str, str]) -> None:
    """Write units, and enable and start one of them."""
    for unit, text in texts.items():
        try:
            replace_file(_FOLDER / unit, text.encode(), 0o644)
        except OSError as error:
            raise ConfigError(f"{_FOLDER / unit}: {error.strerror}") from error
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", name)


def restart(name: str) -> bool:
    """Restart a unit that runs; False if systemd does not run it."""
    if not systemd():
        return False
    try:
        run("systemctl", "is-active", "--quiet", name)
    except EngineError:
        return False
    run("systemctl", "restart", name, seconds=_RESTART_SECONDS)
    return True


def disable(name: str) -> None:
    """Stop and disable a unit; nothing without systemd, or such a unit."""
    if systemd() and (_FOLDER / name).exists():
        run("systemctl", "disable", "--now", name)
