# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.vm.links`: a box filters on each kind of interface, in a virtual machine.

Writes docs/results/interfaces.md.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.vm.guest import LINKS, ROOT, GuestError, Ran, Setting, machines, run
from tests.vm.inside.cards import CARDS, MAC
from tests.vm.inside.shared import TITLE
from tests.vm.owner import told

_SECONDS = 2400.0
_PAGE = ROOT / "docs" / "results" / "interfaces.md"
_DEVICES = {
    "virtio0": "virtio-net-pci",
    "igb0": "igb",
    "e1000e0": "e1000e",
    "vmx0": "vmxnet3",
}
_SCRIPT = """
export PYTHONPATH=/project/api:/project PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH
python -m tests.vm.inside.links {only}
"""


def _network() -> Iterator[str]:
    """Each card, connected with one of the far end by a hub of QEMU's."""
    yield from ("-nic", "none")
    for place, name in enumerate(CARDS):
        for end, device in ((0, _DEVICES[name]), (1, "virtio-net-pci")):
            hub = f"h{place}{end}"
            yield from ("-netdev", f"hubport,hubid={place},id={hub}")
            mac = MAC.format(end=end, place=place)
            yield from ("-device", f"{device},netdev={hub},mac={mac}")


def _rows(results: list[dict[str, str]]) -> Iterator[str]:
    yield "| interface | mode | IPv4 passes, a rule drops, a match drops, challenge | IPv6 |"
    yield "|---|---|---|---|"
    for one in results:
        cells = [one["name"], one["mode"].removeprefix("attached "), _family(one, 4)]
        yield f"| {' | '.join([*cells, _family(one, 6)])} |"


def _family(one: dict[str, str], family: int) -> str:
    of = [value for name, value in one.items() if f"IPv{family}" in name]
    return ", ".join(of) or "none"


def _changes(results: list[dict[str, str]]) -> Iterator[str]:
    cards = [one for one in results if "link down and up" in one]
    names = [n for one in cards for n in one if "IPv" not in n and n not in ("name", "mode")]
    names = list(dict.fromkeys(names))
    yield f"| the rule drops after | {' | '.join(one['name'] for one in cards)} |"
    yield f"|---|{'---|' * len(cards)}"
    for name in names:
        yield f"| {name} | {' | '.join(one.get(name, 'refused') for one in cards)} |"


def page(ran: Ran, results: list[dict[str, str]]) -> str:
    """The page of results."""
    emulated = ", under emulation (TCG)" if ran.emulated else ""
    return "\n".join(
        [
            "# Interfaces",
            "",
            f"`make test-vm-nics`: one `xdpctl run` filters on each of these interfaces of a "
            f"virtual machine, Linux {ran.release}{emulated}. The far end connects by TCP and "
            "sends datagrams. Each cell says whether what its column names came true.",
            "",
            *_rows([one for one in results if one["name"] != TITLE]),
            "",
            "## What happens to a card",
            "",
            "After each change the same rule must drop again.",
            "",
            *_changes(results),
            "",
            "## Beside another XDP program",
            "",
            "xdp-tools' `xdp-filter` on an interface that is `shared`:",
            "",
            *(f"- {name}: {value}" for name, value in results[-1].items() if name != "name"),
            "",
        ]
    )


def bad(results: list[dict[str, Any]]) -> list[str]:
    """What did not come true."""
    return [
        f"{one['name']}: {name}: {value}"
        for one in results
        for name, value in one.items()
        if str(value).startswith("NO")
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.vm.links", description=__doc__)
    parser.add_argument("--output", type=Path, default=_PAGE)
    parser.add_argument("--only", default="", help="a word of the interfaces' names; no page")
    chosen = parser.parse_args()
    with machines(), TemporaryDirectory(prefix="xdpctl-vm-") as name:
        place = Path(name)
        ran = run(
            LINKS, _SCRIPT.format(only=chosen.only), _SECONDS, Setting(place, tuple(_network()))
        )
    results = [json.loads(value) for value in told(ran.result).values()]
    if not results or "ended with 0" not in ran.console:
        raise GuestError(f"only {len(results)} interfaces were tried:\n{ran.console[-6000:]}")
    if not chosen.only:
        chosen.output.write_text(page(ran, results))
    wrong = bad(results)
    print("\n".join(wrong) or f"{len(results)} interfaces filter")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
