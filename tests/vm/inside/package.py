# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian package under attack: install, upgrade, remove, reinstall, purge."""

import os
import re
import time
from pathlib import Path

from tests.vm.inside.flooded import ADDRESS, CARD, COUNTERS, HOSTILE, attached, held
from tests.vm.inside.machine import port, sh, tell, until

UNITS = (*("xdpctl-loader.service", "xdpctl.socket", "xdpctl-tcp.socket", "xdpctl.service"),)
PINS = Path("/run/xdpctl/bpf")
_NETWORK = f"""[Match]
Name={CARD}
[Network]
Address={ADDRESS}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""
# as cloud-init's: it wants the network before the system is set up
_EARLY = """[Unit]
DefaultDependencies=no
After=systemd-networkd.service
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/true
RemainAfterExit=yes
[Install]
WantedBy=sysinit.target
"""


def version() -> str:
    return sh("dpkg-query", "--show", "--showformat=${Version}", "xdpctl")


def install() -> None:
    Path("/etc/systemd/network/card.network").write_text(_NETWORK)
    Path("/etc/nftables.conf").write_text(COUNTERS)
    Path("/etc/systemd/system/early.service").write_text(_EARLY)
    sh("systemctl", "enable", "early.service")
    sh("systemctl", "enable", "--now", "nftables")
    sh("systemctl", "restart", "systemd-networkd")
    sh("dpkg", "-i", "/project/old.deb")
    tell("installed", version())
    unconfigured()
    Path("/etc/xdpctl/xdpctl.toml").write_text(f'interfaces = ["{CARD}", "plain0"]\n')
    began = time.monotonic()
    sh("systemctl", "start", *UNITS)
    until(attached)
    tell("start.seconds", round(time.monotonic() - began, 1))
    tell("start.port", port(CARD))


def unconfigured() -> None:
    """Start xdpctl without a configured interface, and call it with a client."""
    sh("systemctl", "start", *UNITS, check=False)
    sh("xdpctl", "status", check=False)
    time.sleep(10)
    for unit in ("xdpctl-loader.service", "xdpctl.service"):
        asked = "--property=ActiveState,NRestarts,ExecMainStatus"
        shown = sh("systemctl", "show", "--value", asked, unit).split()
        tell(f"unconfigured.{unit}", ",".join(sorted(shown)))


def confined() -> None:
    """Report the user of the control plane, and systemd's security rating of it."""
    tell("user", sh("stat", "-c", "%U", f"/proc/{main_pid('xdpctl.service')}"))
    said = sh("systemd-analyze", "security", "--no-pager", "xdpctl.service")
    (level,) = re.findall(r"exposure level for xdpctl.service: ([\d.]+)", said)
    tell("exposure", level)
    loader = Path(f"/proc/{main_pid('xdpctl-loader.service')}/status").read_text()
    tell("loader.seccomp", re.findall(r"^Seccomp:\t(\d)$", loader, re.MULTILINE)[0])


def main_pid(unit: str) -> str:
    return sh("systemctl", "show", "--value", "--property=MainPID", unit)


def block() -> None:
    held("before")
    tell("block", sh("xdpctl", "block", HOSTILE, "--ttl", "2h", "--reason", "flood"))
    held("block")


def upgrade() -> None:
    """Upgrade to a version with other maps, which the earlier filter makes way for."""
    before = filter_in_force()

    def install_new() -> None:
        began = time.monotonic()
        tell("upgrade", bool(sh("dpkg", "-i", "/project/new.deb")))
        until(lambda: settled(before))
        tell("upgrade.seconds", round(time.monotonic() - began, 1))

    held("upgrade", install_new)
    until(attached)
    tell("upgrade.version", version())
    tell("upgrade.state", sh("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}", "xdpctl"))
    tell("upgrade.rules", HOSTILE in sh("xdpctl", "list", "-o", "csv", check=False))


def filter_in_force() -> str:
    current = PINS / "current"
    return str(current.readlink()) if current.is_symlink() else ""


def settled(before: str) -> bool:
    """Whether another filter than `before` is in force, and none waits."""
    return filter_in_force() not in ("", before) and not (PINS / "next").is_symlink()


def resized() -> None:
    """Change the capacity, and kill loader and control plane while the new filter is made."""
    before, next_one = filter_in_force(), PINS / "next"
    settings = Path("/etc/xdpctl/xdpctl.toml")
    settings.write_text(settings.read_text() + "capacity = 5000\n")

    def change() -> None:
        sh("systemctl", "restart", "--no-block", "xdpctl-loader.service")
        until(next_one.is_symlink)
        for unit in ("xdpctl-loader.service", "xdpctl.service"):
            os.kill(int(main_pid(unit)), 9)
        until(lambda: settled(before))

    held("resized", change)
    until(attached)
    tell("resized.port", port(CARD))


def reinstalled() -> None:
    sh("dpkg", "--remove", "xdpctl")
    tell("removed.xdp", "prog/xdp" in sh("ip", "link", "show", CARD))
    sh("dpkg", "-i", "/project/new.deb")
    enabled = {sh("systemctl", "is-enabled", unit, check=False) for unit in UNITS}
    tell("reinstalled.units", ", ".join(sorted(enabled)))
    sh("systemctl", "start", *UNITS)
    until(attached)
    held("reinstalled")


def purge() -> None:
    sh("dpkg", "--purge", "xdpctl")
    tell("purge.xdp", "prog/xdp" in sh("ip", "link", "show", CARD))
    places = ("/etc/xdpctl", "/var/lib/xdpctl", "/run/xdpctl", "/usr/lib/xdpctl", "/usr/bin/xdpctl")
    tell("purge.left", [place for place in places if Path(place).exists()])
    held("purge")
