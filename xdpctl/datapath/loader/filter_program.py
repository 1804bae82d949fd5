# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles the programs of the filter, and gives its maps the sizes from the settings."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from xdpctl.abi.constants import SlotNumber, Stage
from xdpctl.abi.sizes import BITMAPS_MAX
from xdpctl.datapath.bpf.maps import MapShape
from xdpctl.datapath.loader import egress
from xdpctl.datapath.loader.compiler import Compiled, Request, compile_source, images_dir
from xdpctl.datapath.tables.cells import buckets_log2
from xdpctl.model import services
from xdpctl.model.capacity import Capacity, FlowSettings

PROGRAM, OUTSIDE, EXPLAIN = "xdpctl", "outside", "explain"
STAGES: dict[Stage, str] = {
    Stage.SIGNATURES: "signatures",
    Stage.CONNECTION: "connection",
    Stage.OBSERVE: "observe",
    Stage.MONITOR: "monitor",
    Stage.ANSWER: "answer",
    Stage.QUIC: "quic",
}
_LISTS = 65_536  # nodes for prefixes that are listed several times
EXPLAIN_STAGES: dict[Stage, str] = {
    stage: f"{EXPLAIN}_{STAGES[stage]}" for stage in (Stage.SIGNATURES, Stage.CONNECTION)
}


def _of_services() -> dict[str, int | str]:
    """The macros that the C files need from the list of services."""
    return {
        "SERVICES_BELOW": services.SERVICES_BELOW,
        "SERVICE_CASES": " ".join(f"case {port}:" for port in services.LISTED),
        "PORT_DNS": services.DNS,
        "PORT_HTTPS": services.HTTPS,
        "QUIC_INITIAL_LEAST": services.QUIC_INITIAL_LEAST,
    }


def _of_flows(flows: FlowSettings) -> dict[str, int | str]:
    return {"FLOWS_LOG2": flows.blocks_log2, "QUIC_PROOFS": int(flows.quic)}


def compile_teacher(flows: FlowSettings, cache: Path | None = None) -> Compiled:
    """Compile the program that fills the flow memory; for `cache` see compile_source()."""
    return compile_source(teacher_request(flows), cache)


def teacher_request(flows: FlowSettings) -> Request:
    """What is compiled for the program that fills the flow memory."""
    return Request("teach.c", (egress.NAME,), {**_of_flows(flows), **_of_services()})


def compile_filter(
    capacity: Capacity,
    cache: Path | None = None,
    *,
    flows: FlowSettings | None = None,
    rehearsal: bool = False,
) -> Compiled:
    """Compile the filter and the explain programs, with their stages.

    For `cache` see compile_source(). `flows` is None without an outside interface; the flow memory
    then has no room. With `rehearsal`, limits use the clock of a recording, see bpf/clock.bpf.h.
    """
    request = filter_request(flows, rehearsal)
    compiled = compile_source(request, cache)
    return replace(compiled, maps=_sized(compiled.maps, capacity))


def filter_request(flows: FlowSettings | None, rehearsal: bool = False) -> Request:
    """What is compiled for a filter, whatever its capacity."""
    defines = {**_of_services(), **(_of_flows(flows) if flows else {})}
    if rehearsal:
        defines["REHEARSAL"] = 1
    names = [PROGRAM, OUTSIDE, *STAGES.values()]
    names += [EXPLAIN, f"{EXPLAIN}_{OUTSIDE}", *EXPLAIN_STAGES.values()]
    return Request("xdpctl.c", tuple(names), defines)


def is_shipped(flows: FlowSettings | None) -> bool:
    """Whether the package has the compiled programs for this flow memory."""
    requests = [filter_request(flows), *([teacher_request(flows)] if flows else [])]
    return all((images_dir() / request.image()).is_file() for request in requests)


def _sized(shapes: Mapping[str, MapShape], capacity: Capacity) -> dict[str, MapShape]:
    """The shapes of the maps with room for these capacities, which no program depends on."""
    slots = capacity.rules + SlotNumber.FIRST
    entries = {
        "slots": slots,
        "hits": slots,
        "nodes": slots + _LISTS,
        "cells4": 2 << buckets_log2(capacity.ipv4),
        "cells6": 2 << buckets_log2(capacity.ipv6),
        "entries6": 2 * capacity.ipv6 + 1,  # new entries are added before old ones go
    }
    bitmaps = shapes["bitmaps"]
    sized = {name: replace(shapes[name], max_entries=most) for name, most in entries.items()}
    sized["bitmaps"] = replace(bitmaps, value_size=BITMAPS_MAX * bitmaps.value_size)
    return {**shapes, **sized}
