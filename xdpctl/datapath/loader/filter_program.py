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
from xdpctl.datapath.loader.link_layers import LinkLayer
from xdpctl.datapath.tables.cells import buckets_log2
from xdpctl.model import services
from xdpctl.model.capacity import Capacity, FlowSettings

PROGRAM, OUTSIDE, EXPLAIN = "xdpctl", "outside", "explain"
# in the filter, alone for tests, and the same without the module's own code
MODULE_PROGRAMS = ("module", "module_alone", "module_without")
STAGES: dict[Stage, str] = {
    Stage.SIGNATURES: "signatures",
    Stage.CONNECTION: "connection",
    Stage.OBSERVE: "observe",
    Stage.MONITOR: "monitor",
    Stage.ANSWER: "answer",
    Stage.QUIC: "quic",
}
BUDGET_NS = 1_000  # of a module, for a packet
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


def _of_layer(layer: LinkLayer) -> dict[str, int | str]:
    return {} if layer is LinkLayer.ETHERNET else {"LINK_LAYER": layer.value}


def compile_teacher(
    flows: FlowSettings, cache: Path | None = None, layer: LinkLayer = LinkLayer.ETHERNET
) -> Compiled:
    """Compile the program that fills the flow memory; for `cache` see compile_source()."""
    return compile_source(teacher_request(flows, layer), _cache_of(cache, layer))


def teacher_request(flows: FlowSettings, layer: LinkLayer = LinkLayer.ETHERNET) -> Request:
    """What is compiled for the program that fills the flow memory."""
    defines = {**_of_flows(flows), **_of_services(), **_of_layer(layer)}
    return Request("teach.c", egress.PROGRAMS, defines)


def _cache_of(cache: Path | None, layer: LinkLayer) -> Path | None:
    if cache is None or layer is LinkLayer.ETHERNET:
        return cache
    return cache.with_stem(f"{cache.stem}-{layer.name.lower()}")


def compile_filter(
    capacity: Capacity,
    cache: Path | None = None,
    *,
    flows: FlowSettings | None = None,
    rehearsal: bool = False,
    layer: LinkLayer = LinkLayer.ETHERNET,
) -> Compiled:
    """Compile the filter and, of Ethernet frames, the explain programs, with their stages.

    For `cache` see compile_source(). `flows` is None without an outside interface; the flow memory
    then has no room. With `rehearsal`, limits use the clock of a recording, see bpf/clock.bpf.h.
    """
    request = filter_request(flows, rehearsal, layer)
    return sized(compile_source(request, _cache_of(cache, layer)), capacity)


def filter_request(
    flows: FlowSettings | None,
    rehearsal: bool = False,
    layer: LinkLayer = LinkLayer.ETHERNET,
) -> Request:
    """What is compiled for a filter, whatever its capacity."""
    defines = {**_of_services(), **(_of_flows(flows) if flows else {}), **_of_layer(layer)}
    if rehearsal:
        defines["REHEARSAL"] = 1
    names = [PROGRAM, OUTSIDE, *STAGES.values()]
    if layer is LinkLayer.ETHERNET:
        names += [EXPLAIN, f"{EXPLAIN}_{OUTSIDE}", *EXPLAIN_STAGES.values()]
    return Request("xdpctl.c", tuple(names), defines)


def module_request(text: str) -> Request:
    """What is compiled for a module, whatever the filter's flow memory and link layer."""
    defines = {**_of_services(), "BUDGET_NS": BUDGET_NS}
    return Request("module.c", MODULE_PROGRAMS, defines, text)


def is_shipped(flows: FlowSettings | None) -> bool:
    """Whether the package has the compiled programs for this flow memory."""
    requests = [filter_request(flows), *([teacher_request(flows)] if flows else [])]
    return all((images_dir() / request.image()).is_file() for request in requests)


def sized(compiled: Compiled, capacity: Capacity) -> Compiled:
    """The same with maps that have room for these capacities, which no program depends on."""
    return replace(compiled, maps=_sized(compiled.maps, capacity))


def _sized(shapes: Mapping[str, MapShape], capacity: Capacity) -> dict[str, MapShape]:
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
