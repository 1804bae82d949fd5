# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.vm [KERNEL ...]`: the kernel tests on other kernels, as a table.

Writes docs/results/kernels.md if all kernels are requested.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from tests.vm.cable import MAC, Cable, on_request
from tests.vm.guest import GUESTS, ROOT, Guest, GuestError, Ran, Setting, image, machines, run
from tests.vm.owner import Owner, rest

_SECONDS = 2400.0
_PAIRS = 4_000
_TABLE = ROOT / "docs" / "results" / "kernels.md"
_FEATURES = {
    "test_verifier": "all programs load, within six tenths of the verifier's budget",
    "test_loader": "maps and programs pinned, native XDP on veth, renames, foreign programs",
    "test_verdicts": "verdicts on every kind of frame",
    "test_modules": "modules: C files that rules ask, compiled and verified there",
    "test_reference": f"sources against the reference, {_PAIRS:,} pairs",
    "test_signatures": f"signatures and limits against the reference, {_PAIRS:,} pairs",
    "test_lockout": "what keeps the link always passes",
    "test_monitor_statistics": "monitor statistics: established connections, sketches",
    "test_captures": "captures through the ring buffer",
    "test_samples": "samples of sets",
    "test_overlaps": "rules and sets that overlap",
    "test_slots": "300,000 changes of rules in place, which no packet meets half done",
    "test_large": "tables of tens of thousands, growing and shrinking under packets",
    "test_adoption": "a restart adopts what is pinned",
    "test_rcu": "grace periods",
    "test_rehearsal": "recordings through the rules",
    "test_rehearsal_protection": "recordings with what the filter protects",
    "test_rehearsal_limits": "recordings through limits, by their own clock",
    "virtio": "virtio_net: native, native with two queues, generic",
    "flood": "a flood through the card: none of the blocked sources' packets reaches a socket",
}
_QUICK = (
    "reference",
    "signatures",
    "modules",
    "monitor_statistics",
    "captures",
    "samples",
    "overlaps",
)
_SETS = {"ci": ("monitor_statistics", "captures"), "quick": _QUICK, "whole": ()}
_XML, _PROCESSES = "<?xml", 2
_CARDS = (
    *("-netdev", "user,id=n0,restrict=on"),
    *("-device", "virtio-net-pci,netdev=n0"),
    # a tap in the network namespace of QEMU, which is used by nothing else
    *("-netdev", "tap,id=n1,script=no,downscript=no,queues=2,vhost=off"),
    *("-device", "virtio-net-pci,netdev=n1,mq=on,vectors=6"),
)
# these run in a second process, as there are two processors: about half of the whole set
_BESIDE, _BESIDE_WHOLE = ("verifier",), ("verifier", "adoption", "large", "slots")
_SCRIPT = f"""
export XDPCTL_IN_VM=1 XDPCTL_REQUIRE_KERNEL=1 XDPCTL_FUZZ_PAIRS={_PAIRS}
export PYTHONPATH=/project/api:/project
export PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH
modprobe veth
ulimit -n 65536
tests() {{
  report=$1 && shift
  python -m pytest -q -p no:cacheprovider -p no:unraisableexception --timeout=0 \\
    --junitxml=/tmp/$report.xml -k "not million" "$@"
}}
tests beside $BESIDE &
tests others $OTHERS
status=$?
wait $! || status=$?
cat /tmp/beside.xml /tmp/others.xml >/dev/result
exit $status
"""


def _reports(ran: Ran) -> list[ElementTree.Element]:
    """The JUnit reports of all processes."""
    return [ElementTree.fromstring(_XML + one) for one in rest(ran.result).split(_XML)[1:]]


def _bad(ran: Ran) -> int:
    """The number of tests that failed."""
    counts = sum(results(ran).values(), Counter[str]())
    return counts["failure"] + counts["error"]


def results(ran: Ran) -> dict[str, Counter[str]]:
    """The numbers of passed, failed and skipped tests of each file."""
    found: dict[str, Counter[str]] = {}
    for case in chain.from_iterable(report.iter("testcase") for report in _reports(ran)):
        name = case.get("classname", "").rpartition(".")[2].removeprefix("test_inside_")
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        found.setdefault(name, Counter())[min(kinds, default="passed")] += 1
    return found


def _cell(counts: Counter[str]) -> str:
    bad = counts["failure"] + counts["error"]
    told = f"{counts['passed']:,}" + (f", **{bad} failed**" if bad else "")
    return told + (f", {counts['skipped']} skipped" if counts["skipped"] else "")


def _page(runs: dict[str, tuple[Ran, float]], chosen: str) -> str:
    releases = [ran.release for ran, _ in runs.values()]
    by_kernel = [results(ran) for ran, _ in runs.values()]
    emulated = any(ran.emulated for ran, _ in runs.values())
    lines = [
        "# Kernels",
        "",
        f"How many kernel tests passed in virtual machines, of the {chosen} set"
        + (", under emulation (TCG)." if emulated else "."),
        "",
        f"| feature | {' | '.join(releases)} |",
        f"|---|{'--:|' * len(releases)}",
    ]
    names = sorted({name for found in by_kernel for name in found}, key=_place)
    for name in names:
        cells = [_cell(found.get(name, Counter())) for found in by_kernel]
        lines.append(f"| {_FEATURES.get(name, name)} | {' | '.join(cells)} |")
    seconds = [f"{took:.0f}" for _, took in runs.values()]
    lines.append(f"| seconds, without making the image | {' | '.join(seconds)} |")
    return "\n".join([*lines, ""])


def _place(name: str) -> int:
    known = list(_FEATURES)
    return known.index(name) if name in known else len(known)


def _files(names: Iterable[str]) -> list[str]:
    return [
        str(path.relative_to(ROOT))
        for name in names
        for path in (ROOT / "tests" / "kernel").rglob(f"test_{name}.py")
    ]


def _one(guest: Guest, names: Sequence[str]) -> tuple[Ran, float]:
    """Run the tests in a guest; return the result and the seconds, without building the image."""
    image(guest)
    began = time.monotonic()
    beside = _files(_BESIDE if names else _BESIDE_WHOLE)
    others = _files(names) or ["tests/kernel", *(f"--ignore={path}" for path in beside)]
    script = f"BESIDE='{' '.join(beside)} tests/vm/inside' OTHERS='{' '.join(others)}'{_SCRIPT}"
    with TemporaryDirectory(prefix="xdpctl-vm-") as name:
        place = Path(name)
        with closing(Cable(place, "n2")) as cable, on_request(cable) as flood:
            card = ("-netdev", cable.netdev, "-device", f"virtio-net-pci,netdev=n2,mac={MAC}")
            with Owner(place / "result", flood):
                ran = run(guest, script, _SECONDS, Setting(place, (*_CARDS, *card)))
    handed = len(_reports(ran))
    if handed < _PROCESSES or ("ended with 0" not in ran.console and not _bad(ran)):
        why = f"handed over {handed} reports of {_PROCESSES}, with no test that failed"
        raise GuestError(f"{guest.name} {why}:\n{ran.console[-6000:]}")
    return ran, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.vm", description=__doc__)
    parser.add_argument("kernel", nargs="*", choices=[*GUESTS, []], help="[all]")
    parser.add_argument("--set", choices=_SETS, default="quick", help="which tests [quick]")
    parser.add_argument("--output", type=Path, default=_TABLE)
    chosen = parser.parse_args()
    runs, bad = {}, 0
    with machines():
        for name in chosen.kernel or GUESTS:
            runs[name] = _one(GUESTS[name], _SETS[chosen.set])
            counts = sum(results(runs[name][0]).values(), Counter())
            print(f"{name} ({runs[name][0].release}): {_cell(counts)}, {runs[name][1]:.0f} s")
            if _bad(runs[name][0]):
                bad += 1
                print(runs[name][0].console[-6000:])
    if not chosen.kernel:
        chosen.output.write_text(_page(runs, chosen.set))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
