# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.vm.vagrant`: an attack on one of three Vagrant machines, and a reboot in it.

Each step is a check that passes or fails. The machines are removed afterwards in any case.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.vm.guest import GUESTS, ROOT, emulated

_FOLDER = ROOT / "vagrant"
_OURS, _PUBLIC = "xdpctl/trixie", "debian/trixie64"
_NETWORKS = ("xdpctl-lab", "xdpctl-reach")
_PACKAGES = "vagrant vagrant-libvirt libvirt-daemon-system qemu-system-x86 dnsmasq-base rsync"
_PROTECTED, _ATTACK = "10.66.0.10", "203.0.113.0/24"
_FLOOD_PPS, _FLOOD_SECONDS = 500, 1_500
_BOOT_SECONDS, _SEEN_SECONDS = 600.0, 5.0


class DemoError(Exception):
    """The demo cannot run here, or a step failed; the message says what to do."""


def lacking() -> str:
    """What is missing for the demo, and how to get it; empty if nothing is."""
    if shutil.which("vagrant") is None:
        return f"vagrant is not installed: apt-get install {_PACKAGES}"
    if os.environ.get("VAGRANT_DEFAULT_PROVIDER", "libvirt") != "libvirt":
        return ""
    asked = subprocess.run(["virsh", "-c", "qemu:///system", "version"], capture_output=True)
    if asked.returncode:
        return (
            "libvirt does not answer: systemctl start libvirtd; without systemd: "
            "virtlogd -d && libvirtd -d (in a network namespace of its own, if you like: "
            "then run this in there as well)"
        )
    return ""


class Machines:
    """Up when entered, gone when left."""

    def __init__(self, box: str, keep: bool) -> None:
        driver = {"XDPCTL_VM_DRIVER": "qemu"} if emulated(GUESTS["6.12"]) else {}
        self._environment = {
            **{"VAGRANT_CHECKPOINT_DISABLE": "1", "VAGRANT_DEFAULT_PROVIDER": "libvirt"},
            **os.environ,
            **driver,
            "XDPCTL_BOX": box,
        }
        self._keep = keep
        self._place = TemporaryDirectory(prefix="xdpctl-vagrant-")
        self._ssh = Path(self._place.name) / "ssh"

    def vagrant(self, *words: str, quiet: bool = True) -> str:
        out = subprocess.PIPE if quiet else None
        done = subprocess.run(
            ["vagrant", *words],
            cwd=_FOLDER,
            env=self._environment,
            stdout=out,
            stderr=subprocess.STDOUT if quiet else None,
            text=True,
        )
        if done.returncode:
            raise DemoError(f"vagrant {' '.join(words)} failed\n{(done.stdout or '')[-3000:]}")
        return done.stdout or ""

    def __enter__(self) -> "Machines":
        try:
            self.vagrant("destroy", "--force")  # what an earlier run left
            self.vagrant("up", quiet=False)
            self._ssh.write_text(self.vagrant("ssh-config"))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        if self._keep:
            self.vagrant("halt")
            print("halted; they are kept: vagrant up, vagrant destroy, in vagrant/")
        else:
            self.vagrant("destroy", "--force")
            for network in _NETWORKS:
                for verb in ("net-destroy", "net-undefine"):
                    gone = ["virsh", "-c", "qemu:///system", verb, network]
                    subprocess.run(gone, capture_output=True)  # it may be gone already
        self._place.cleanup()

    def run(self, machine: str, command: str, check: bool = True) -> str:
        done = subprocess.run(
            ["ssh", "-F", str(self._ssh), "-o", "ConnectTimeout=10", machine, command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if check and done.returncode:
            raise DemoError(f"{machine}: {command}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()


def _until(true: Callable[[], bool], what: str) -> float:
    """The seconds until a condition holds; DemoError if it never does."""
    began = time.monotonic()
    while time.monotonic() - began < _BOOT_SECONDS:
        if true():
            return time.monotonic() - began
        time.sleep(1)
    raise DemoError(f"in vain waited for {_BOOT_SECONDS:g} s: {what}")


class Demo:
    """The play; `faults` counts the claims that do not hold."""

    def __init__(self, machines: Machines) -> None:
        self._run = machines.run
        self.faults = 0

    def claim(self, text: str, holds: bool) -> None:
        print(f"{'ok  ' if holds else 'FAIL'} {text}", flush=True)
        self.faults += not holds

    def _status(self) -> dict[str, dict[str, str]]:
        said = self._run("protected", "sudo xdpctl status --json", check=False)
        found: dict[str, dict[str, str]] = json.loads(said)["interfaces"] if said else {}
        return found

    def _attached(self) -> bool:
        return self._status().get("eth1", {}).get("state") == "attached"

    def _reached(self) -> int:
        """The hostile packets that reached the network stack since the last call."""
        said = self._run("protected", "sudo nft -j reset counters")
        counters = [o["counter"] for o in json.loads(said)["nftables"] if "counter" in o]
        return sum(int(one["packets"]) for one in counters if one["name"] == "hostile")

    def _served(self) -> bool:
        page = self._run("client", f"curl -sf --max-time 10 http://{_PROTECTED}/", check=False)
        return page == "the timetable"

    def play(self) -> None:
        _until(self._attached, "xdpctl is attached")
        port = self._status()["eth1"]
        self.claim(f"eth1 is filtered, {port['mode']}", port["mode"] == "native")
        self.claim("the client gets its page", self._served())
        attack = f"python3 /opt/lab/attack.py eth1 {_PROTECTED} --pps {_FLOOD_PPS}"
        command = f"sudo systemd-run --quiet --unit=flood {attack} --seconds {_FLOOD_SECONDS}"
        self._run("attacker", command)
        _until(lambda: self._reached() > 0, "the flood arrives")
        time.sleep(_SEEN_SECONDS)
        reached = self._reached()
        self.claim(f"{reached:,} packets of a flood reach the stack", reached > 0)
        self._run("protected", f"sudo xdpctl block {_ATTACK} --ttl 2h --reason flood")
        self._reached()
        time.sleep(_SEEN_SECONDS)
        self.claim("once it is blocked, none does", self._reached() == 0)
        hit = json.loads(self._run("protected", f"sudo xdpctl why {_ATTACK} --json"))["packets"]
        self.claim(f"{hit:,} were dropped", hit > 0)
        self.claim("the client gets its page", self._served())
        self._reboot()
        self._run("attacker", "sudo systemctl stop flood")

    def _reboot(self) -> None:
        boot = "cat /proc/sys/kernel/random/boot_id"
        before = self._run("protected", boot)
        self._run("protected", "sudo systemctl reboot", check=False)

        def back() -> bool:
            return self._run("protected", boot, check=False) not in ("", before)

        seconds = _until(back, "it has booted again") + _until(self._attached, "it is attached")
        early = self._reached()
        self.claim(
            f"rebooted in the middle of it, {seconds:.0f} s: {early} packets reached the stack "
            "since power on",
            early == 0,
        )
        rules = self._run("protected", "sudo xdpctl list")
        self.claim("the rule is back", _ATTACK in rules)
        _until(self._served, "the page is served")
        self.claim("the client gets its page", self._served())


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.vm.vagrant", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="halt them at the end, keep the disks")
    chosen = parser.parse_args()
    if missing := lacking():
        sys.exit(missing)
    boxes = subprocess.run(["vagrant", "box", "list"], capture_output=True, text=True).stdout
    box = os.environ.get("XDPCTL_BOX") or (_OURS if _OURS in boxes else _PUBLIC)
    if box not in boxes:
        print(f"vagrant will fetch {box}; where it cannot, `make vagrant-box` makes one")
    try:
        with Machines(box, chosen.keep) as machines:
            demo = Demo(machines)
            demo.play()
    except DemoError as error:
        sys.exit(f"{error}\nno box could be had? make vagrant-box")
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(1 if demo.faults else 0)


if __name__ == "__main__":
    main()
