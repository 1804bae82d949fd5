# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine's life under attack, from inside: install, upgrade, unplug, reboot, purge.

Run by systemd as root after every boot, with only the distribution's Python. The host removes the
network card (`unplug`) and adds it again (`plug`) on request.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from tests.vm.inside.flooded import CARD, HELD_SECONDS, attached, held, reached
from tests.vm.inside.machine import ask, call, port, sh, tell, until
from tests.vm.inside.package import (
    block,
    confined,
    install,
    main_pid,
    purge,
    reinstalled,
    resized,
    upgrade,
)

PHASE, CLASS = Path("/var/lib/vm-phase"), Path("/sys/class/net")


def killed() -> None:
    def kill() -> None:
        for unit in ("xdpctl-loader.service", "xdpctl.service"):
            os.kill(int(main_pid(unit)), 9)

    held("killed", kill)
    tell("killed.seconds", until(attached))


def replugged() -> None:
    ask("unplug")
    until(lambda: not (CLASS / CARD).exists())
    until(lambda: port(CARD).startswith("absent"))
    tell("unplugged.port", port(CARD))
    reached()
    ask("plug")
    until((CLASS / CARD).exists)
    tell("replugged.seconds", until(attached))
    tell("replugged.early", reached()["hostile"])
    tell("replugged.port", port(CARD))
    held("replugged")


def renamed() -> None:
    def rename() -> None:
        for old, new in ((CARD, "uplink7"), ("uplink7", CARD)):
            sh("ip", "link", "set", old, "down")
            sh("ip", "link", "set", old, "name", new)
            sh("ip", "link", "set", new, "up")
            time.sleep(HELD_SECONDS)
            if new != CARD:
                tell("renamed.port", port(CARD))

    held("renamed", rename)


def jumbo() -> None:
    def larger() -> None:
        said = sh("ip", "link", "set", CARD, "mtu", "9000", check=False)
        tell("jumbo.mtu", (CLASS / CARD / "mtu").read_text().strip())
        tell("jumbo", said or "taken")

    held("jumbo", larger)
    tell("jumbo.port", port(CARD))
    sh("ip", "link", "set", CARD, "mtu", "1500")


def plain() -> None:
    """Test a driver without native XDP."""
    sh("ip", "link", "add", "plain0", "type", "dummy")
    until(lambda: port("plain0").startswith("attached"))
    tell("plain.port", port("plain0"))
    sh("ip", "link", "del", "plain0")


def full() -> None:
    def fill() -> None:
        sh("fallocate", "-l", "100T", "/fill", check=False)
        with Path("/fill").open("ab") as file:
            try:
                while file.write(bytes(1 << 20)):
                    pass
            except OSError:
                pass  # full
        told("full")

    held("full", fill)
    Path("/fill").unlink()
    tell("full.after", call("POST", "/v1/rules", _rule("192.0.2.101"))[0])


def told(name: str) -> None:
    status, answer = call("POST", "/v1/rules", _rule("192.0.2.100"))
    tell(f"{name}.status", status)
    tell(f"{name}.says", f"{answer.get('title')}: {answer.get('detail')}")


def _rule(source: str) -> dict[str, Any]:
    return {"match": {"source": source}, "ttl": "1h"}


def reboot() -> None:
    PHASE.write_text("rebooted")
    sh("sync")
    sh("systemctl", "reboot")
    time.sleep(600)


def booted() -> None:
    """Report when counters, loader and network were up; the counters come up long before."""
    until(attached)
    tell("boot.early", reached()["hostile"])
    tell("boot.port", port(CARD))
    stands = [r["id"] for r in call("GET", "/v1/rules")[1]["rules"]]
    tell("boot.rules", ",".join(stands))
    card = _micros("sys-subsystem-net-devices-eth0.device", "ActiveEnter")
    loader = _micros("xdpctl-loader.service", "ActiveEnter")
    network = _micros("systemd-networkd.service", "ExecMainStart")
    tell("boot.loader.seconds", round(loader / 1e6, 1))
    tell("boot.after.card.seconds", round((loader - card) / 1e6, 1))
    tell("boot.before.network", loader < network)
    said = sh(
        "journalctl", "--boot", "--no-pager", "--quiet", "--grep", "ordering cycle", check=False
    )
    tell("boot.cycles", len(said.splitlines()))
    tell("boot.early.unit", sh("systemctl", "is-active", "early.service", check=False))
    held("boot")


def _micros(unit: str, what: str) -> int:
    name = f"--property={what}TimestampMonotonic"
    return int(sh("systemctl", "show", "--value", name, unit))


def no_bpffs() -> None:
    sh("umount", "/sys/fs/bpf")
    held("bpffs", lambda: tell("bpffs", sh("systemctl", "restart", "xdpctl-loader") or "started"))
    tell("bpffs.port", port(CARD))


def read_only() -> None:
    def remount() -> None:
        Path("/proc/sysrq-trigger").write_text("u")  # as the kernel does it after an error
        until(lambda: " / ext4 ro," in Path("/proc/mounts").read_text())
        told("readonly")

    held("readonly", remount)
    held("readonly.killed", lambda: os.kill(int(main_pid("xdpctl-loader.service")), 9))
    sh("mount", "-o", "remount,rw", "/")
    until(attached)
    tell("readonly.after", until(lambda: call("POST", "/v1/rules", _rule("192.0.2.102"))[0] < 300))


PHASES = {
    "new": (
        *(
            install,
            confined,
            block,
            upgrade,
            resized,
            reinstalled,
            killed,
            replugged,
            renamed,
            jumbo,
            plain,
            full,
        ),
        reboot,
    ),
    "rebooted": (booted, no_bpffs, read_only, purge),
}


def main() -> int:
    phase = PHASE.read_text() if PHASE.exists() else "new"
    for step in PHASES[phase]:
        try:
            step()
        except Exception:  # the other steps are tried all the same
            tell(f"{step.__name__}.broke", json.dumps(traceback.format_exc()))
            print(sh("journalctl", "--no-pager", "-n", "40", check=False), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
