# SPDX-License-Identifier: GPL-2.0-or-later
"""The style of all plots: readable on light and dark pages, with text, and reproducible."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.report.taken import figure

mpl.use("Agg")
# A grey that is readable on white and on black; the background is transparent
_INK, _FAINT = "#7a7a7a", "#9a9a9a55"
COLOURS = {"ours": "#2f81c7", "theirs": "#d0762a", "cited": _INK, "floor": _INK}
_CITED = "hollow: measured before, on a machine of the same kind"
_STYLE: dict[Any, Any] = {  # matplotlib types its keys as literals of its own release
    "svg.fonttype": "none",
    "svg.hashsalt": "xdpctl",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],
    "font.size": 9,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor"), _INK),
    **dict.fromkeys(("xtick.color", "ytick.color", "legend.labelcolor"), _INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "grid.color": _FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


class Row(NamedTuple):
    """One figure of a row plot; `who` is a key of COLOURS; a value of None is left out."""

    label: str
    value: float | None
    who: str = "theirs"


class Line(NamedTuple):
    """A line of costs in ns by table size; `who` is a key of COLOURS."""

    label: str
    who: str
    marker: str
    costs: Mapping[int, float | None]
    dashes: str = "-"


def whole(width: float, height: float) -> Figure:
    plot = Figure(figsize=(width, height), layout="constrained")
    plot.supxlabel(_CITED, x=0.995, ha="right", fontsize=7)
    return plot


def rows(pane: Any, groups: Sequence[Sequence[Row]], unit: str = "", log: bool = False) -> None:
    """Draw groups of bars from the top down, with their figures; dots on a logarithmic axis."""
    at, ticks = 0.0, dict[float, str]()
    for group in groups:
        for row in group:
            if row.value is None:
                continue
            colour = COLOURS[row.who]
            fill = "none" if row.who == "cited" else colour
            if log:
                pane.plot(row.value, at, "o", mfc=fill, mec=colour, ms=6)
            else:
                pane.barh(at, row.value, 0.68, facecolor=fill, edgecolor=colour, lw=1)
            text = {"textcoords": "offset points", "va": "center", "fontsize": 8}
            pane.annotate(
                f"{figure(row.value)}{unit}", (row.value, at), (6 if log else 3, 0), **text
            )
            ticks[at] = row.label
            at -= 1
        at -= 0.4
    pane.set_yticks(list(ticks), list(ticks.values()), fontsize=8)
    pane.tick_params(axis="y", length=0)
    pane.spines["left"].set_visible(False)
    pane.grid(axis="x")
    if log:
        pane.set_xscale("log")
        pane.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        pane.set_xticks([], minor=True)
    low, high = pane.get_xlim()
    pane.set_xlim(low / 1.5 if log else low, high * 12 if log else high * 1.07)


def lines(pane: Any, drawn: Sequence[Line], sizes: Sequence[int]) -> dict[str, Any]:
    """Draw nanoseconds by table size, both logarithmic; return the handles for a legend."""
    handles = {}
    for label, who, marker, costs, dashes in drawn:
        measured = {size: cost for size, cost in costs.items() if cost is not None}
        style = {"marker": marker, "color": COLOURS[who], "ms": 5, "ls": dashes}
        if who == "cited":
            style |= {"mfc": "none", "lw": 1}
        if measured:
            (handles[label],) = pane.plot(list(measured), list(measured.values()), **style)
    pane.set(xscale="log", yscale="log", ylim=(4, 2500), xlim=(sizes[0] / 2, sizes[-1] * 2))
    pane.set_xticks(sizes, [_short(size) for size in sizes])
    pane.set_yticks([10, 30, 100, 300, 1000], ["10", "30", "100", "300", "1,000"])
    for axis in (pane.xaxis, pane.yaxis):
        axis.set_ticks([], minor=True)
    pane.grid(axis="y")
    return handles


def _short(size: int) -> str:
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if size >= unit:
            return f"{size // unit}{name}"
    return str(size)


def style() -> Any:
    """The context in which plots are drawn and saved."""
    return mpl.rc_context(_STYLE)


def save(plot: Figure, path: Path) -> None:
    """Save a plot without a date, so that a file changes only if its figures change."""
    metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else None
    plot.savefig(path, transparent=True, metadata=metadata, dpi=110)
