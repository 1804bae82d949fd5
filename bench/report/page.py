# SPDX-License-Identifier: GPL-2.0-or-later
"""Inserts the tables of a run into the blocks of a page.

`python -m bench.report.page bench.json docs/results/performance.md`

A block is the text between `<!-- bench: NAME -->` and `<!-- end -->`.
"""

import argparse
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.peers import figures as peers
from bench.report.taken import Entry, Taken, figure, read

_HOWS = {  # the columns of the packet table, by the end of a case's name
    "drop, fixed": "drop, fixed",
    "drop, walk": "drop, walk",
    "a rule with a ttl, drop, fixed": "rule with a ttl, fixed",
    "pass, fixed": "pass, fixed",
    "pass, walk": "pass, walk",
    "pass, walk near": "pass, walk near",
}


_WHERE = ("easy", "hardest", "match at the first", "match at the last")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int]) -> str:
    """A table in Markdown; `right` are the columns of figures."""
    rule = ["--:" if at in right else "---" for at in range(len(head))]
    lines = [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]
    return "\n".join(lines)


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+,.0f}"


def machine(results: Taken) -> str:
    m = results.machine
    lines = [
        f"{m['date'][:10]}: {m['cpu']}, {m['cores']} cores ({m['caches']}), kernel {m['kernel']}, "
        f"Spectre v2: {m['spectre_v2']}. {m['peers']}.",
        f"Load {m['load_before']:.1f} before; the run took {m['seconds'] / 60:.0f} minutes.",
        *(f"Note: {note}." for note in results.notes),
    ]
    return "\n".join(lines)


def bars(results: Taken) -> str:
    """Every bar with the figure that it is compared with."""

    def rows() -> Iterator[list[str]]:
        for part in ("packet", "signature", "veth", "bridge", "control"):
            for entry in results.part(part):
                for bar in entry["bars"]:
                    if bar["limit"] is not None:
                        yield [part, *_compared(entry, bar)]

    return table(("part", "case", "figure", "bar", ""), rows(), (2, 3))


def _compared(entry: Entry, bar: Entry) -> list[str]:
    over = bar["of"] == "over_ns"
    value = entry[bar["of"]]
    value_text = f"{value:+.1f} ns" if over else f"{figure(value)} {entry['unit']}"
    sign, peer = "≥" if bar["at_least"] else "≤", bar["peer"]
    limit = figure(bar["limit"]) if peer else f"{'+' if over else ''}{bar['limit']:,g}"
    whose = f" ({peer.split(',')[0]}'s)" if peer else ""
    return [
        entry["case"],
        value_text,
        f"{sign} {limit}{whose}",
        "" if bar["pass"] else "**missed**",
    ]


def packet(results: Taken) -> str:
    """A row for each filter, with the nanoseconds over the bare drop."""
    costs_of: dict[str, dict[str, float]] = {}
    for entry in results.part("packet"):
        for how in sorted(_HOWS, key=len, reverse=True):
            if entry["case"].endswith(f", {how}") and entry["over_ns"] is not None:
                what = entry["case"].removesuffix(f", {how}")
                costs_of.setdefault(what, {})[how] = entry["over_ns"]
                break
    rows = [[what, *(_signed(costs.get(how)) for how in _HOWS)] for what, costs in costs_of.items()]
    for cost in (*peers.PACKET, peers.PACKET6):
        column = "fixed" if "fixed" in cost.what else "walk"
        cells = {f"drop, {column}": _signed(cost.drop), f"pass, {column}": _signed(cost.passed)}
        rows.append([f"*{_sized(cost)}*", *(cells.get(how, "") for how in _HOWS)])
    floors = [entry for entry in results.part("packet") if entry["case"].startswith("bare")]
    medians = ", ".join(f"{entry['case'][6:]} {entry['median']:.1f} ns" for entry in floors)
    costs = table(("filter", *_HOWS.values()), rows, range(1, 1 + len(_HOWS)))
    return f"{costs}\n\nThe bare drop itself: {medians}."


def _sized(cost: peers.Cost) -> str:
    return f"{cost.what.split(',')[0]}{', IPv6' if 'IPv6' in cost.what else ''}, {cost.size:,}"


def veth(results: Taken) -> str:
    rows = [
        [entry["case"], figure(entry["median"]), _spread(entry), f"{1000 / entry['median']:.0f}"]
        for entry in results.part("veth")
    ]
    rows += [
        [f"*{what}*", figure(mpps), "", f"{1000 / mpps:.0f}"] for what, mpps in peers.VETH.items()
    ]
    return table(("case", "Mpps", "rounds", "ns a packet"), rows, (1, 2, 3))


def bridge(results: Taken) -> str:
    rows = [
        [entry["case"], f"{figure(entry['median'])} {entry['unit']}", _spread(entry)]
        for entry in results.part("bridge")
    ]
    return table(("case", "median", "rounds"), rows, (1, 2))


def control(results: Taken) -> str:
    rows = [
        [entry["case"], f"{figure(entry['median'])} {entry['unit']}", _spread(entry)]
        for entry in results.part("control")
    ]
    rows += [[f"*{what}: load 1,000,000*", f"{value} s", ""] for what, value in peers.LOAD.items()]
    rows += [[f"*{what}: one more*", f"{value} ms", ""] for what, value in peers.ONE_MORE.items()]
    return table(("case", "median", "rounds"), rows, (1, 2))


def _spread(entry: Entry) -> str:
    return f"{figure(min(entry['rounds']))} to {figure(max(entry['rounds']))}"


def signature(results: Taken) -> str:
    """A row for each number of signatures, with the ns over the same filter without any."""
    costs_of: dict[str, dict[str, float]] = {}
    rest = []
    for entry in results.part("signature"):
        what, _, how = entry["case"].rpartition(", ")
        if what.endswith(("signature", "signatures")):
            costs_of.setdefault(what, {})[how] = entry["over_ns"]
        elif entry["over_ns"] is not None:
            rest.append(f"{entry['case']}: {entry['over_ns']:+.0f} ns")
    rows = [
        [what, *(_signed(costs.get(how)) for how in _WHERE)] for what, costs in costs_of.items()
    ]
    costs = table(("in force", *_WHERE), rows, range(1, 1 + len(_WHERE)))
    return f"{costs}\n\n{'; '.join(rest)} (the first one over the bare drop)."


BLOCKS = {
    "machine": machine,
    "bars": bars,
    "packet": packet,
    "signature": signature,
    "veth": veth,
    "bridge": bridge,
    "control": control,
}


def filled(page: str, results: Taken, blocks: Mapping[str, Callable[[Taken], str]] = BLOCKS) -> str:
    """The page with the text of every block replaced."""

    def block(match: re.Match[str]) -> str:
        return f"{match[1]}\n{blocks[match[2]](results)}\n{match[3]}"

    return re.sub(r"(<!-- bench: (\w+) -->).*?(<!-- end -->)", block, page, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.report.page", description=__doc__)
    parser.add_argument("figures", type=Path, help="bench.json")
    parser.add_argument("page", type=Path)
    arguments = parser.parse_args()
    page: Path = arguments.page
    page.write_text(filled(page.read_text(), read(arguments.figures)))


if __name__ == "__main__":
    main()
