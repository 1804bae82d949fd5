# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m bench.growth FIGURES`: measure steps and sizes, and write the figures as JSON.

The filter of ten million sources has a table of 1 GB.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from bench.cases import floors
from bench.growth import sizes, steps
from bench.measure.packet import take_all
from bench.report import report
from bench.report.results import Results
from xdpctl.datapath.loader.filter_program import compile_filter
from xdpctl.errors import XdpctlError
from xdpctl.lab.flood import Generator, compile_generator
from xdpctl.model.capacity import Capacity

_ROUNDS, _REPEAT = 9, 1_000_000


def measure(results: Results, generator: Generator, rounds: int, repeat: int) -> None:
    """Measure every step and every size in every round, beside bare drops."""
    compiled = compile_filter(Capacity())
    for part, runs in (
        (steps.PART, list(steps.runs())),
        (
            sizes.PART,
            [
                *sizes.of_sources(results.notes),
                *sizes.of_sets(compiled),
                *sizes.of_signatures(compiled),
            ],
        ),
    ):
        take_all(results, [*floors(generator.bare_fd, part), *runs], generator, rounds, repeat)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.growth", description=__doc__)
    parser.add_argument("figures", type=Path, help="the file to write")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("bench: loading BPF programs needs root")
    facts, results, start = report.machine(), Results(), time.monotonic()
    generator = Generator(compile_generator())
    try:
        measure(results, generator, _ROUNDS, _REPEAT)
    except XdpctlError as error:
        sys.exit(f"bench: {error}")
    facts["seconds"] = round(time.monotonic() - start)
    report.write(arguments.figures, facts, results)


if __name__ == "__main__":
    main()
