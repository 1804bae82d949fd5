# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of interfaces, of the flow memory and of challenges."""

from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, Field

from xdpctl.abi.constants import Asking, MemoryNumber
from xdpctl.datapath.flow_memory import FlowMemory, MemoryFigures
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.watch.loader_report import LoaderReport


class InterfaceOut(BaseModel):
    """An interface that is to be filtered."""

    state: str = Field(description="`attached`, or why it is not filtered", examples=["attached"])
    mode: str | None = Field(
        default=None, description="XDP mode, `native` or `generic`; null if it is not attached"
    )
    detail: str = Field(default="", description="Why it is not attached, or not native")
    taken_off: int = Field(
        default=0, description="How often somebody took the filter off since the loader started"
    )
    outside: bool = Field(default=False, description="Whether it is declared to be outside")
    teaches: str | None = Field(
        default=None,
        description="The hook at which outgoing packets teach the flow memory, with the program's "
        "place among several; empty if they do not",
        examples=["tcx, program 1 of 2"],
    )
    teaches_not: str = Field(default="", description="Why outgoing packets do not teach it")
    flows: Literal["asked", "not_asked", "asymmetric"] = Field(
        default="not_asked",
        description="Whether the flow memory is asked for its packets. asymmetric: no, because "
        "outgoing packets do not pass here",
    )


class MemoryOut(BaseModel):
    """A memory of flows or sources: two generations of a Bloom filter."""

    used: int = Field(description="Elements of this generation")
    earlier: int = Field(description="Elements of the generation before, which are known, too")
    capacity: int = Field(description="Elements of a generation; then the next one begins")
    fill: float = Field(description="Share of the capacity in use")
    bytes: int = Field(description="Memory of both generations")
    false_pass: float = Field(
        description="Estimated share of unknown packets that pass as known, 0 to 1"
    )
    rotations: int = Field(description="Number of generations so far")
    early: int = Field(description="Generations that ended because they were full")
    age: float = Field(description="Seconds after which a generation ends, even if it is not full")


class FlowMemoryOut(MemoryOut):
    """The flow memory."""

    refused: int = Field(description="New flows beyond the budget of the host that opened them")
    refused_of: str = Field(description="The last such host; empty if there is none")


class ChallengesOut(BaseModel):
    """SYNs and queries that were challenged, since the maps were created; without QUIC."""

    sent: int = Field(description="Answers that were sent")
    withheld: int = Field(
        description="Those without an answer: beyond 100,000 a second of one network, with IP "
        "options, or no single question"
    )
    right: int = Field(description="Sources that proved that they exist; they pass for an hour")
    remembered: MemoryOut


_ASKING: dict[Asking, Literal["asked", "not_asked", "asymmetric"]] = {
    Asking.ASKS: "asked",
    Asking.ASKS_NOT: "not_asked",
    Asking.ASKS_NOT_ASYMMETRIC: "asymmetric",
}


def interfaces_out(ctx: ControlPlane, loader: LoaderReport | None) -> dict[str, InterfaceOut]:
    """The interfaces as the loader reports them, and whether the filter looks their flows up."""
    if loader is None:
        return {}
    asking = ctx.controller.datapath.flows.asking()
    return {
        name: InterfaceOut(**{**port, "flows": _ASKING[asking.get(name, Asking.ASKS_NOT)]})
        for name, port in loader.ports.items()
    }


def _memory(figures: MemoryFigures) -> dict[str, Any]:
    return {
        "used": figures.elements,
        "earlier": figures.earlier,
        "capacity": figures.full,
        "fill": figures.fill,
        "bytes": figures.bytes,
        "false_pass": figures.false_pass,
        "rotations": figures.rotations,
        "early": figures.early,
        "age": figures.age,
    }


def flow_memory_out(flows: FlowMemory) -> FlowMemoryOut | None:
    """The flow memory; None without an outside interface."""
    if all(asking is Asking.ASKS_NOT for asking in flows.asking().values()):
        return None
    figures = flows.figures()
    return FlowMemoryOut(**_memory(figures), refused=figures.refused, refused_of=figures.refused_of)


def challenges_out(flows: FlowMemory) -> ChallengesOut:
    """What became of challenges, and the sources that are remembered."""
    remembered = MemoryOut(**_memory(flows.figures(MemoryNumber.ANSWERED)))
    return ChallengesOut(**asdict(flows.challenges()), remembered=remembered)
