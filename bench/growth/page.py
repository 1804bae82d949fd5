# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the tables and the picture of docs/results/nanoseconds.md.

`python -m bench.growth.page growth.json docs/results`
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from bench.growth import sizes, steps
from bench.report import drawing, page
from bench.report.taken import Taken, read


def _costs(results: Taken, how: str) -> Iterator[tuple[str, float]]:
    """Each step with the nanoseconds over the bare drop when it is done."""
    for name in steps.STEPS:
        cost = results.over(steps.PART, f"{name}, {how}")
        yield name, cost or 0.0


def of_steps(results: Taken) -> str:
    """What each step adds, and what has been spent after it."""
    rows, before = [], (0.0, 0.0)
    pairs = zip(_costs(results, steps.HOT), _costs(results, steps.WALK), strict=True)
    for (name, hot), (_, walk) in pairs:
        added = f"{hot - before[0]:+.1f}", f"{walk - before[1]:+.1f}"
        rows.append([name, added[0], f"{hot:.1f}", added[1], f"{walk:.1f}"])
        before = hot, walk
    clean = [
        f"{results.over(steps.PART, f'{steps.CLEAN}, {how}') or 0:.1f}"
        for how in (steps.HOT, steps.WALK)
    ]
    rows.append([f"*{steps.CLEAN}, the whole*", "", clean[0], "", clean[1]])
    head = ("step", steps.HOT, "together", steps.WALK, "together")
    return page.table(head, rows, range(1, 5))


def of_sizes(results: Taken) -> str:
    """The nanoseconds over the bare drop, by what is in force."""
    rows = [
        [entry["case"], f"{entry['over_ns']:+.1f}"]
        for entry in results.part(sizes.PART)
        if entry["over_ns"] is not None
    ]
    return page.table(("in force", "ns over the bare drop"), rows, (1,))


def picture(results: Taken) -> Figure:
    """A bar of the steps for each way of sending."""
    whole = Figure(figsize=(8.2, 2.6), layout="constrained")
    pane = whole.subplots()
    names = list(steps.STEPS)
    shades = [0.25 + 0.75 * n / (len(names) - 1) for n in range(len(names))]
    for at, how in ((1, steps.HOT), (0, steps.WALK)):
        spent = 0.0
        for (name, cost), shade in zip(_costs(results, how), shades, strict=True):
            pane.barh(
                at,
                max(0.0, cost - spent),
                0.6,
                left=spent,
                color=drawing.COLOURS["ours"],
                alpha=shade,
                label=name if at else None,
            )
            spent = max(spent, cost)
    pane.set_yticks([1, 0], [steps.HOT, steps.WALK])
    pane.set_xlabel("ns over a bare drop")
    pane.grid(axis="x")
    whole.legend(loc="outside lower center", ncols=4)
    return whole


BLOCKS = {"machine": page.machine, "steps": of_steps, "sizes": of_sizes}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.growth.page", description=__doc__)
    parser.add_argument("figures", type=Path, help="what bench.growth wrote")
    parser.add_argument("folder", type=Path, help="the folder of nanoseconds.md")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    results, place = read(arguments.figures), folder / "nanoseconds.md"
    place.write_text(page.filled(place.read_text(), results, BLOCKS))
    with drawing.style():
        drawing.save(picture(results), folder / "img" / "nanoseconds.svg")


if __name__ == "__main__":
    main()
