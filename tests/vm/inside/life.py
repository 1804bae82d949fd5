"""A machine's life under attack, from inside: installed, upgraded, unplugged, rebooted, purged.

Run by systemd as root, after every boot, on the Python of the distribution alone. Its owner pulls
the network card (`unplug`) and puts it back (`plug`) when asked.
"""

import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.vm.inside.machine import ask, call, port, sh, tell, until

CARD, ADDRESS = "eth0", "198.51.100.7/24"
HOSTILE, FRIEND = "203.0.113.0/24", "192.0.2.9"
UNITS = ("xdpctl-loader.service", "xdpctl.socket", "xdpctl.service")
PHASE, CLASS = Path("/var/lib/vm-phase"), Path("/sys/class/net")
HELD_SECONDS = 3.0
_NFT = f"""table inet vm {{
  counter hostile {{}}
  counter friend {{}}
  chain first {{
    type filter hook prerouting priority raw;
    ip saddr {HOSTILE} counter name hostile
    ip saddr {FRIEND} counter name friend
  }}
}}
"""
_NETWORK = f"""[Match]
Name={CARD}
[Network]
Address={ADDRESS}
LinkLocalAddressing=no
IPv6AcceptRA=no
"""


def attached() -> bool:
    return port(CARD).startswith("attached")


def reached() -> dict[str, int]:
    """Packets that came as far as the network stack, since it was asked last."""
    said = json.loads(sh("nft", "-j", "reset", "counters"))["nftables"]
    return {o["counter"]["name"]: o["counter"]["packets"] for o in said if "counter" in o}


def held(name: str, doing: Callable[[], None] | None = None) -> None:
    """Tell what reached the stack while something was done, and a while after."""
    reached()
    if doing:
        doing()
    time.sleep(HELD_SECONDS)
    now = reached()
    tell(f"{name}.hostile", now["hostile"])
    tell(f"{name}.friend", now["friend"])


def version() -> str:
    return sh("dpkg-query", "--show", "--showformat=${Version}", "xdpctl")


def install() -> None:
    Path("/etc/systemd/network/card.network").write_text(_NETWORK)
    Path("/etc/nftables.conf").write_text(_NFT)
    sh("systemctl", "enable", "--now", "nftables")
    sh("systemctl", "restart", "systemd-networkd")
    sh("dpkg", "-i", "/project/old.deb")
    tell("installed", version())
    Path("/etc/xdpctl/xdpctl.toml").write_text(f'interfaces = ["{CARD}", "plain0"]\n')
    began = time.monotonic()
    sh("systemctl", "start", *UNITS)
    until(attached)
    tell("start.seconds", round(time.monotonic() - began, 1))
    tell("start.port", port(CARD))


def confined() -> None:
    """Who the control plane is, and what systemd thinks of it."""
    tell("user", sh("stat", "-c", "%U", f"/proc/{main_pid('xdpctl.service')}"))
    said = sh("systemd-analyze", "security", "--no-pager", "xdpctl.service")
    (level,) = re.findall(r"exposure level for xdpctl.service: ([\d.]+)", said)
    tell("exposure", level)


def main_pid(unit: str) -> str:
    return sh("systemctl", "show", "--value", "--property=MainPID", unit)


def block() -> None:
    held("before")
    tell("block", sh("xdpctl", "block", HOSTILE, "--ttl", "2h", "--reason", "flood"))
    held("block")


def upgrade() -> None:
    held("upgrade", lambda: tell("upgrade", bool(sh("dpkg", "-i", "/project/new.deb"))))
    until(attached)
    tell("upgrade.version", version())


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
    """A driver without XDP of its own."""
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
    """Where the counters are up long before the loader and the network."""
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


def purge() -> None:
    sh("dpkg", "--purge", "xdpctl")
    tell("purge.xdp", "prog/xdp" in sh("ip", "link", "show", CARD))
    places = ("/etc/xdpctl", "/var/lib/xdpctl", "/run/xdpctl", "/usr/lib/xdpctl", "/usr/bin/xdpctl")
    tell("purge.left", [place for place in places if Path(place).exists()])
    held("purge")


PHASES = {
    "new": (
        *(install, confined, block, upgrade, killed, replugged, renamed, jumbo, plain, full),
        reboot,
    ),
    "rebooted": (booted, no_bpffs, read_only, purge),
}


def main() -> int:
    phase = PHASE.read_text() if PHASE.exists() else "new"
    for step in PHASES[phase]:
        try:
            step()
        except Exception:  # the others are tried all the same
            tell(f"{step.__name__}.broke", json.dumps(traceback.format_exc()))
            print(sh("journalctl", "--no-pager", "-n", "40", check=False), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
