# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m bench [--quick] [--part NAME]`: measure, print, write bench.json."""

import argparse
import os
import sys
import time
from pathlib import Path

from rich.console import Console

from bench.measure import bridge, control, flows, limits, packet, signatures, veth
from bench.report import report
from bench.report.results import Results
from xdpctl.datapath.loader.filter_program import compile_filter
from xdpctl.errors import XdpctlError
from xdpctl.lab.flood import Generator, compile_generator
from xdpctl.model.capacity import Capacity

PARTS = (packet.PART, signatures.PART, veth.PART, bridge.PART, control.PART)
_WIDTH = 120
_QUICK = control.Size(
    posts=300, concurrent_posts=2_000, rounds=1, sustained=3, nft_rules=5, nft_slow_rules=1
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds: a smoke test")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part [all]")
    parser.add_argument("--output", type=Path, default=Path("bench.json"))
    return parser.parse_args()


def _measure(results: Results, parts: list[str], quick: bool) -> None:
    generator = Generator(compile_generator())
    compiled = compile_filter(Capacity())
    if packet.PART in parts:
        rounds, repeat = (2, 500_000) if quick else (7, 1_000_000)
        packet.measure(results, compiled, generator, rounds, repeat)
    if signatures.PART in parts:
        rounds, repeat = (2, 500_000) if quick else (7, 1_000_000)
        signatures.measure(results, compiled, generator, rounds, repeat)
        flows.measure(results, generator, rounds, repeat)
        limits.measure(results, compiled, generator, *((1, 1.0) if quick else (3, 5.0)))
    if veth.PART in parts:
        rounds, packets = (2, 200_000) if quick else (5, 1_500_000)
        veth.measure(results, compiled, generator, rounds, packets)
    if bridge.PART in parts:
        rounds, packets = (2, 100_000) if quick else (9, 500_000)
        bridge.measure(results, compiled, generator, rounds, packets)
    if control.PART in parts:
        control.measure(results, _QUICK if quick else control.Size(), generator)
    generator.close()


def main() -> None:
    arguments = _arguments()
    if os.geteuid() != 0:
        sys.exit("bench: creating network namespaces and loading BPF programs needs root")
    facts, results, start = report.machine(), Results(), time.monotonic()
    try:
        _measure(results, arguments.part or list(PARTS), arguments.quick)
    except XdpctlError as error:
        sys.exit(f"bench: {error}")
    facts["seconds"] = round(time.monotonic() - start)
    report.write(arguments.output, facts, results)
    console = Console(highlight=False)
    console.width = max(console.width, _WIDTH)
    report.show(results, facts, console)


if __name__ == "__main__":
    main()
