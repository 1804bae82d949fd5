# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles the programs of the filter, with the sizes from the settings."""

from dataclasses import replace
from pathlib import Path

from xdpctl.abi.constants import SlotNumber, Stage
from xdpctl.abi.sizes import BITMAPS_MAX
from xdpctl.datapath.loader import egress
from xdpctl.datapath.loader.compiler import Compiled, compile_source
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
    defines = {**_of_flows(flows), **_of_services()}
    return compile_source("teach.c", [egress.NAME], defines, cache)


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
    defines = {
        "SLOTS_MAX": capacity.rules + SlotNumber.FIRST,
        "BUCKETS4_LOG2": buckets_log2(capacity.ipv4),
        "BUCKETS6_LOG2": buckets_log2(capacity.ipv6),
        "ENTRIES6_MAX": 2 * capacity.ipv6 + 1,  # new entries are added before old ones go
        **_of_services(),
    }
    if flows:
        defines |= _of_flows(flows)
    if rehearsal:
        defines["REHEARSAL"] = 1
    names = [PROGRAM, OUTSIDE, *STAGES.values()]
    names += [EXPLAIN, f"{EXPLAIN}_{OUTSIDE}", *EXPLAIN_STAGES.values()]
    compiled = compile_source("xdpctl.c", names, defines, cache)
    bitmaps = compiled.maps["bitmaps"]
    bitmaps = replace(bitmaps, value_size=BITMAPS_MAX * bitmaps.value_size)
    maps = compiled.maps | {"bitmaps": bitmaps}
    return replace(compiled, maps=maps)
