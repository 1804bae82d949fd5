# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.vm.life OLD.deb NEW.deb`: the package in a machine's life, under attack.

A machine with systemd is flooded through its network card while it is set up, upgraded, rebooted
and more (tests/vm/inside/life.py). The packets that reach its network stack are counted.
Writes docs/results/machine.md.
"""

import argparse
import shutil
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.vm.cable import FRAMES, HOSTILE, MAC, Cable, Flood, Monitor
from tests.vm.claims import CLAIMS, judged
from tests.vm.guest import GUESTS, ROOT, Ran, Setting, machines, run
from tests.vm.owner import Owner, told

_SECONDS = 1500.0
_PAGE = ROOT / "docs" / "results" / "machine.md"
_CARD = f"virtio-net-pci,netdev=card,id=nic,bus=bay,mac={MAC}"
_SCRIPT = """
exec >/dev/ttyS0 2>&1
python3 -m tests.vm.inside.life
echo "ended with $?"
sync
systemctl poweroff --force --force
"""


def _card(monitor: Path, word: str) -> None:
    """Remove the network card, or add it again."""
    with closing(Monitor(monitor)) as machine:
        if word == "unplug":
            machine.ask("device_del", id="nic")
            machine.wait("DEVICE_DELETED")
        else:
            driver, *options = _CARD.split(",")
            given = dict(option.split("=", 1) for option in options)
            machine.ask("device_add", driver=driver, **given)


def live(guest: str, old: Path, new: Path) -> Ran:
    """Run one machine's life; GuestError if it does not finish."""
    with TemporaryDirectory(prefix="xdpctl-life-") as name:
        place = Path(name)
        cable = Cable(place, "card")
        packages = [place / "old.deb", place / "new.deb"]
        for given, package in zip((old, new), packages, strict=True):
            shutil.copy(given, package)
        control = place / "control"
        setting = Setting(
            place,
            (
                *("-netdev", cable.netdev),
                *("-device", "pcie-root-port,id=bay,chassis=1", "-device", _CARD),
                *("-qmp", f"unix:{control},server=on,wait=off"),
            ),
            init="/sbin/init",
            files=tuple(packages),
            reboots=True,
        )
        owner = Owner(place / "result", partial(_card, control))
        with closing(cable), Flood(cable, FRAMES), owner:
            return run(GUESTS[guest], _SCRIPT, _SECONDS, setting)


def _page(ran: Ran, rows: list[tuple[str, str]], seconds: float) -> str:
    how = ", emulated (TCG), so times are several times those of a real machine"
    lines = [
        "# A machine's life under attack",
        "",
        "The Debian package in a virtual machine with systemd and virtio_net, kernel "
        f"{ran.release}{how if ran.emulated else ''}. {len(HOSTILE)} blocked sources flood the "
        "machine while it is set up, upgraded, changed and rebooted. A counter behind XDP, at "
        "netfilter's prerouting, counts the packets that reached the stack. Packets of a friendly "
        "source were counted too and came through each time. Made by `make test-vm-life` in "
        f"{seconds:.0f} s.",
        "",
        "| what happens | outcome |",
        "|---|---|",
        *(f"| {doing} | {outcome} |" for doing, outcome in rows),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.vm.life", description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--kernel", choices=("6.12", "newest"), default="6.12")
    parser.add_argument("--output", type=Path, default=_PAGE)
    chosen = parser.parse_args()
    began = time.monotonic()
    with machines():
        ran = live(chosen.kernel, chosen.old, chosen.new)
    facts = told(ran.result)
    rows, bad = [], 0
    for claim in CLAIMS:
        outcome, holds = judged(claim, facts)
        print(f"{'ok  ' if holds else 'FAIL'} {claim.doing}: {outcome}")
        rows.append((claim.doing, outcome))
        bad += not holds
    for name in (name for name in facts if name.endswith(".broke")):
        print(name, facts[name].encode().decode("unicode_escape"), file=sys.stderr)
    if not bad:
        chosen.output.write_text(_page(ran, rows, time.monotonic() - began))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
