# SPDX-License-Identifier: GPL-2.0-or-later
"""The cost of a packet as tables grow: sources, sets over one source, matching signatures."""

import time
from collections.abc import Iterator

import numpy as np

from bench import sources
from bench.cases import BARE, BARE_WALK, FRAME, WALKED, Run, frame_from
from bench.filters import XDP_DROP, XDP_PASS, loaded, ours
from bench.measure.signatures import armed
from bench.report.results import Case
from xdpctl.abi.constants import Action as WireAction
from xdpctl.abi.constants import Mode, SlotNumber
from xdpctl.base.net.prefix_arrays import FAMILIES, V4, Keys
from xdpctl.control.state.counts import CROWD
from xdpctl.datapath.image import Image, Listing, own_slot
from xdpctl.datapath.loader.compiler import Compiled
from xdpctl.datapath.loader.filter_program import compile_filter
from xdpctl.datapath.plan import replace_set
from xdpctl.model.capacity import Capacity
from xdpctl.model.effect import Action
from xdpctl.model.match.match import Match, build
from xdpctl.model.rate import Rate

PART = "sizes"
SOURCES = (10_000, 100_000, 1_000_000, 10_000_000)
SETS = (1, 8, 64)
SIGNATURES = (1, 32, 1024)
LIMITS = (1, 8, CROWD)  # more are refused
_TTLS = 60
_SOURCE = bytes((198, 51, 100, 7))


def _many(count: int) -> Keys:
    """`count` random addresses; `sources` does not keep as many as the most of them."""
    if count <= sources.POOL:
        return sources.exact(count)
    drawn = np.random.default_rng(8).integers(1 << 24, 223 << 24, 2 * count, np.uint64)
    return np.random.default_rng(9).permutation(np.unique(V4.pack4(drawn, 32)))[:count]


def of_sources(notes: list[str]) -> Iterator[Run]:
    """A set of each size: a walk over listed sources, and one over others."""
    for count in SOURCES:
        compiled = compile_filter(Capacity(ipv4=max(count, Capacity().ipv4)))
        listed, began = _many(count), time.monotonic()
        fd = ours(compiled, listed)
        took, cells = time.monotonic() - began, compiled.maps["cells4"]
        megabytes = cells.max_entries * cells.value_size / 1e6
        notes.append(
            f"{count:,} sources: loaded in {took:.1f} s, into a table of {megabytes:,.0f} MB"
        )
        inside = sources.packed(sources.listed(listed, WALKED))
        case = Case(PART, f"{count:,} sources, drop, walk", "ns", BARE_WALK)
        yield Run(case, fd, XDP_DROP, FRAME, inside)
        others = sources.packed(sources.unlisted(listed, WALKED))
        case = Case(PART, f"{count:,} sources, pass, walk", "ns", BARE_WALK)
        yield Run(case, fd, XDP_PASS, FRAME, others)


def _in_sets(compiled: Compiled, count: int) -> int:
    """The program of a filter with one source in `count` sets that drop."""
    source = V4.pack4(np.array([int.from_bytes(_SOURCE)]), 32)
    keys = {number: family.empty for number, family in FAMILIES.items()} | {4: source}
    word = own_slot(WireAction.DROP, Mode.ENFORCE, 0).value
    with loaded(compiled) as (port, datapath):
        image = Image(datapath.capacity)
        for number in range(count):
            plan = replace_set(image, SlotNumber.FIRST - 1 - number, Listing(word, keys))
            datapath.apply(plan)
            image.commit(plan)
    return port.program_fd


def of_sets(compiled: Compiled) -> Iterator[Run]:
    """One source in several sets, of which the first decides."""
    for count in SETS:
        case = Case(PART, f"sets over one source: {count}", "ns", BARE)
        yield Run(case, _in_sets(compiled, count), XDP_DROP, frame_from(_SOURCE))


def _matching(count: int) -> list[Match]:
    """Different matches, all of which match the packet."""
    return [
        build({"protocol": "udp", "ttl": f">={n % _TTLS}", "packet_length": f">={n // _TTLS}"})
        for n in range(count)
    ]


def of_signatures(compiled: Compiled) -> Iterator[Run]:
    """Signatures that all match: the first drops, or all are limits that the packet is within."""
    for count in SIGNATURES:
        fd = armed(compiled, _matching(count), Action.DROP)
        case = Case(PART, f"signatures that match, of which the first drops: {count:,}", "ns", BARE)
        yield Run(case, fd, XDP_DROP, frame_from(_SOURCE))
    for count in LIMITS:
        limit = Rate(pps=1e9, per_ipv4=32)
        fd = armed(compiled, _matching(count), Action.LIMIT, limit)
        case = Case(PART, f"limits per source, within each: {count}", "ns", BARE)
        yield Run(case, fd, XDP_PASS, frame_from(_SOURCE))
