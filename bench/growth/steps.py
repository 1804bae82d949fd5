# SPDX-License-Identifier: GPL-2.0-or-later
"""The cost of each step of a packet: programs that are compiled to end after the step."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import sources
from bench.cases import BARE, BARE_WALK, FRAME, WALKED, Run, frame_from
from bench.errors import BenchError
from bench.filters import XDP_DROP, XDP_PASS, ours
from bench.report.results import Case
from xdpctl.datapath.loader.compiler import Compiled, compile_changed, source_dir
from xdpctl.datapath.loader.filter_program import filter_request, sized
from xdpctl.model.capacity import Capacity

PART = "steps"
HOT, WALK = "one source", "500,000 of a million sources"
CLEAN = "a packet that passes"
_LISTED = 1_000_000
_MAIN, _SOURCE, _TABLE = "xdpctl.c", "source.bpf.h", "table.bpf.h"


@dataclass(frozen=True, slots=True)
class Change:
    """Code that is put behind a text, which the file has exactly once."""

    file: str
    text: str
    code: str


def _end(values: str, result: str = "XDP_DROP") -> str:
    """Code that ends the program when these values, separated by spaces, are computed."""
    used = "".join(f'asm volatile("" : : "r"((u64){value}));' for value in values.split())
    return f"{{ {used} return {result}; }}\n"


_PARSED = " ".join(
    f"packet->{field}"
    for field in ("source[0]", "destination[0]", "end", "offset", "protocol", "fragment")
)
_WITHOUT_EXIT = Change(
    _MAIN,
    "\tdecided = by_source(ctx, search, packet);\n",
    f"\tif (family == 4) {_end('decided search->bytes')}",
)


def _in_search(file: str, text: str, values: str) -> tuple[Change, ...]:
    return _WITHOUT_EXIT, Change(file, text, f"\t{_end(values, 'REASON_DROPPED')}")


_NEAR = "\tif (!is_near4(near, address))\n\t\treturn REASON_NO_RULE;\n"
STEPS: dict[str, tuple[Change, ...]] = {
    "Ethernet header": (
        Change(
            _MAIN,
            "\tif (type == network16(ETHERTYPE_IPV4))\n",
            f"\t\t{_end('packet.offset')}\tif (type == network16(ETHERTYPE_IPV4))\n",
        ),
    ),
    "IP header": (
        Change(
            _MAIN,
            "parse_ipv4(ctx, packet) : parse_ipv6(ctx, packet);\n",
            f"\tif (family == 4 && !reason) {_end(_PARSED)}",
        ),
    ),
    "what the link needs": (
        Change(
            _MAIN,
            "\tmeasure(ctx, search, packet->end);\n",
            f"\tif (family == 4) {_end(f'{_PARSED} search->bytes')}",
        ),
    ),
    "something is listed near": _in_search(_SOURCE, _NEAR, "address near"),
    "exemptions": _in_search(
        _SOURCE, _NEAR + "\tread_exemptions(ctx, search, packet);\n", "search->exempt"
    ),
    "the source's cell": _in_search(
        _TABLE,
        "\tif (may_list4(control, near, address, 32))\n\t\tvalue = find4(control, address, 32);\n",
        "value",
    ),
    "its slot, and the slot's hits": (_WITHOUT_EXIT,),
    "the exit, which counts": (),
}


def changed(place: Path, changes: tuple[Change, ...]) -> None:
    """Make these changes in a copy of bpf/; BenchError if a text is not there once."""
    for change in changes:
        path = place / change.file
        text = path.read_text()
        if text.count(change.text) != 1:
            raise BenchError(f"bpf/{change.file} has changed: it does not have once: {change.text}")
        path.write_text(text.replace(change.text, change.text + change.code))


def _compiled(changes: tuple[Change, ...]) -> Compiled:
    with TemporaryDirectory(prefix="xdpctl-bench-") as directory:
        place = Path(directory) / "bpf"
        shutil.copytree(source_dir(), place)
        changed(place, changes)
        return sized(compile_changed(filter_request(None), place), Capacity())


def runs() -> Iterator[Run]:
    """Each step with one listed source, and with many; and the whole for packets that pass."""
    listed = sources.exact(_LISTED)
    inside, others = sources.listed(listed, WALKED), sources.far(listed[:1], WALKED)
    for name, changes in STEPS.items():
        fd = ours(_compiled(changes), listed)
        hot = Case(PART, f"{name}, {HOT}", "ns", BARE)
        yield Run(hot, fd, XDP_DROP, frame_from(sources.packed(inside[:1])))
        case = Case(PART, f"{name}, {WALK}", "ns", BARE_WALK)
        yield Run(case, fd, XDP_DROP, FRAME, sources.packed(inside))
    clean = ours(_compiled(()), listed[:1])
    hot = Case(PART, f"{CLEAN}, {HOT}", "ns", BARE)
    yield Run(hot, clean, XDP_PASS, frame_from(sources.packed(others[:1])))
    case = Case(PART, f"{CLEAN}, {WALK}", "ns", BARE_WALK)
    yield Run(case, clean, XDP_PASS, FRAME, sources.packed(others))
