# SPDX-License-Identifier: GPL-2.0-or-later
"""Plots of a run's figures, compared with other tools, as SVG.

`python -m bench.report.plots bench.json docs/results/img`
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bench import sources
from bench.cases import EXACT, PREFIXES
from bench.filters import XDP_FILTER_MAX
from bench.peers import figures as peers
from bench.report import drawing
from bench.report.drawing import Line, Row
from bench.report.taken import Taken, read

_MARKS = {"XDP with a BPF hash": "o", "XDP with a BPF LPM trie": "s"}


def _lines(results: Taken, verdict: str) -> Iterator[Line]:
    def over(name: str, kind: str, counts: Sequence[int], how: str) -> dict[int, float | None]:
        cases = {count: f"{name}{sources.label(count, kind)}, {how}" for count in counts}
        return {count: results.over("packet", case) for count, case in cases.items()}

    walk, near = f"{verdict}, walk", f"{verdict}, walk near"
    yield Line("xdpctl, addresses", "ours", "o", over("", "address", EXACT, walk))
    yield Line("xdpctl, prefixes", "ours", "s", over("", "prefix", PREFIXES, walk))
    if verdict == "pass":
        beside = "xdpctl, passing beside an address", "xdpctl, passing beside a prefix"
        yield Line(beside[0], "ours", "o", over("", "address", EXACT, near), ":")
        yield Line(beside[1], "ours", "s", over("", "prefix", PREFIXES, near), ":")
    counts = (1, XDP_FILTER_MAX)
    yield Line("xdp-filter", "theirs", "D", over("xdp-filter, ", "address", counts, walk))
    for what in dict.fromkeys(cost.what for cost in peers.PACKET):
        costs = {
            cost.size: cost.drop if verdict == "drop" else cost.passed
            for cost in peers.PACKET
            if cost.what == what
        }
        yield Line(what, "cited", _MARKS.get(what, "^"), costs, "--")


def packet(results: Taken) -> Figure:
    """Nanoseconds over a bare drop, by the size of the table."""
    whole, handles = drawing.whole(8.2, 4.4), dict[str, Any]()
    panes = whole.subplots(1, 2, sharey=True)
    titles = ("drop: packets from random listed sources", "pass: from random sources not listed")
    for pane, verdict, title in zip(panes, ("drop", "pass"), titles, strict=True):
        handles |= drawing.lines(pane, list(_lines(results, verdict)), EXACT)
        pane.set_title(title)
        pane.set_xlabel("IPv4 addresses or prefixes listed")
    panes[0].set_ylabel("ns a packet, over a bare drop")
    whole.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3)
    return whole


def veth(results: Taken) -> Figure:
    """The Mpps of one core that sends and drops."""

    def group(what: str, ours: str, theirs: Mapping[str, str], cited: Sequence[str]) -> list[Row]:
        rows = [Row(f"xdpctl, {what}", results.median("veth", ours), "ours")]
        rows += [Row(label, results.median("veth", case)) for label, case in theirs.items()]
        rows += [Row(name, peers.VETH[name], "cited") for name in cited]
        return [rows[0], *sorted(rows[1:], key=lambda row: -(row.value or 0))]

    def addresses(count: int, cited: Sequence[str], more: Mapping[str, str] = {}) -> list[Row]:
        what = sources.label(count, "address")
        return group(
            what, f"xdpctl, {what}", {f"nft, {what}": f"nft, set of {what}", **more}, cited
        )

    prefixes = "100,000 prefixes"
    whole = drawing.whole(8.2, 4.9)
    pane = whole.subplots()
    groups = [
        [Row("bare XDP_DROP, the floor", results.median("veth", "bare XDP_DROP"), "floor")],
        addresses(10_000, [], {"xdp-filter, its most: 10,000": "xdp-filter, 10,000 addresses"}),
        addresses(100_000, ["XDP-Firewall, its most: 100,000 addresses"]),
        addresses(1_000_000, ["XDP with a BPF hash of 1,000,000", "ipset hash:ip of 1,000,000"]),
        group(
            prefixes,
            f"xdpctl, {prefixes}",
            {f"nft, {prefixes}": f"nft, interval set of {prefixes}"},
            ["XDP with a BPF LPM trie of 100,000", "ipset hash:net of 100,000"],
        ),
        [Row(peers.NOTHING, peers.VETH[peers.NOTHING], "cited")],
    ]
    drawing.rows(pane, groups)
    pane.set_title("million packets a second that one core sends and drops, every source listed")
    return whole


def control(results: Taken) -> Figure:
    """The times to load a million addresses, and to add one more."""

    def here(label: str, case: str, who: str = "theirs") -> Row:
        return Row(label, results.median("control", case), who)

    def cited(figures: Mapping[str, float]) -> list[Row]:
        return [Row(name, value, "cited") for name, value in figures.items()]

    put = "put a set of 1,000,000, durable and in the kernel"
    load = [
        [
            here("xdpctl, PUT of text", put, "ours"),
            here("xdpctl, PUT, 1 % differs", "replace the set, 1 % differs", "ours"),
        ],
        [here("nft -f", "load an nft set of 1,000,000"), *cited(peers.LOAD)],
    ]
    one_more = "one more rule with 1,000,000 addresses, "
    interval = "one more in an nft interval set of "
    more_rules = [
        [here(f"xdpctl, POST, {p}", one_more + p, "ours") for p in ("p50", "p99")],
        [
            here("libnftables, set of 1,000,000", "one more in an nft set of 1,000,000"),
            here("libnftables, 10,000 prefixes", interval + "10,000"),
            here("libnftables, 100,000 prefixes", interval + "100,000"),
            *cited(peers.ONE_MORE),
        ],
    ]
    whole = drawing.whole(8.2, 3.4)
    panes = whole.subplots(1, 2)
    drawing.rows(panes[0], load, " s")
    panes[0].set_title("1,000,000 addresses in")
    drawing.rows(panes[1], more_rules, " ms", log=True)
    panes[1].set_title("one more (logarithmic)")
    panes[0].set_ylim(panes[1].get_ylim())
    return whole


PLOTS = {"packet": packet, "veth": veth, "control": control}


def draw(results: Taken, folder: Path, suffix: str = "svg") -> None:
    """Draw each plot into its own file in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, plot in PLOTS.items():
        with drawing.style():
            drawing.save(plot(results), folder / f"{name}.{suffix}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.report.plots", description=__doc__)
    parser.add_argument("figures", type=Path, help="bench.json")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    draw(read(arguments.figures), arguments.folder)


if __name__ == "__main__":
    main()
