# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of the host's state: status, interfaces, counters, health."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from xdpctl_api.shapes.common import ProtectedOut
from xdpctl_api.shapes.flows import ChallengesOut, FlowMemoryOut, InterfaceOut


class LoaderOut(BaseModel):
    """The process that attaches the filter; `pid` is 0 if it has not reported."""

    pid: int = Field(default=0, description="Its process id")
    protect: dict[str, str] = Field(
        default={}, description="Prefixes that the loader wants protected, with why"
    )


class InterfacesOut(BaseModel):
    """The loader, and each configured interface by name."""

    loader: LoaderOut
    interfaces: dict[str, InterfaceOut]


class RuleTotals(BaseModel):
    """How many rules there are."""

    total: int = Field(description="Number of rules on sources")
    by_origin: dict[str, int]
    capacity: int = Field(description="How many rules fit")
    fill: float = Field(description="Share of the capacity in use, 0 to 1")


class TableOut(BaseModel):
    """A table that can be full."""

    name: str
    used: int = Field(description="Number of entries")
    capacity: int = Field(description="How many entries fit")
    fill: float = Field(description="Share of the capacity in use, 0 to 1")


class StatusOut(BaseModel):
    """Status of the host."""

    version: str
    started_at: datetime
    uptime: float = Field(description="Seconds since the control plane was started")
    problems: list[str] = Field(
        description="Why new rules are not accepted, or not applied everywhere; empty if they are"
    )
    warnings: list[str] = Field(description="Problems that do not keep the host from being ready")
    expected: list[str] = Field(
        description="Traffic that is expected now (xdpctl expect): the detector does not act on it"
    )
    bypass: bool = Field(description="Whether all traffic passes")
    rules: RuleTotals
    sets: dict[str, int] = Field(description="Number of entries by set")
    tables: list[TableOut]
    kernel_memory: dict[str, int] = Field(description="Bytes by map")
    protected: list[ProtectedOut]
    interfaces: dict[str, InterfaceOut]
    flow_memory: FlowMemoryOut | None = Field(description="Null without an outside interface")
    challenges: ChallengesOut


class HitsOut(BaseModel):
    """Packets and their bytes."""

    packets: int
    bytes: int


class ReasonHitsOut(HitsOut):
    """Packets and bytes of a reason, and the verdict that belongs to it."""

    verdict: Literal["drop", "pass"]


class CountersOut(BaseModel):
    """Packets and bytes by reason, since the maps were created."""

    total: dict[str, HitsOut] = Field(description="By reason, of all interfaces")
    interfaces: dict[str, dict[str, ReasonHitsOut]] = Field(description="By interface and reason")


class FindingOut(BaseModel):
    """One result of a check of the host."""

    level: Literal["ok", "warning", "problem"] = Field(description="How bad it is")
    subject: str
    text: str
    fix: str = Field(description="What to do; may be empty")


class FindingsOut(BaseModel):
    """What an examination of the host found; empty before the first one."""

    findings: list[FindingOut]


class HealthOut(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class ReadyOut(BaseModel):
    """Whether new rules are accepted and applied on this host, and why not."""

    ready: bool
    problems: list[str] = Field(description="Empty if it is ready")
    fleet: list[str] = Field(
        default_factory=list, description="What is wrong with the fleet; the host is ready anyway"
    )


class BypassState(BaseModel):
    """Whether the emergency bypass is on: all traffic passes."""

    on: bool


class NotifiedOut(BaseModel):
    """The result of a test message."""

    taken: dict[str, bool] = Field(
        description="For each of notify.urls and notify.webhooks, whether it accepted the message"
    )
