# SPDX-License-Identifier: GPL-2.0-or-later
"""What the API shows of an incident: its record, and what its rules hit as of now."""

from collections.abc import Mapping
from typing import Any

from msgspec import structs
from pydantic import BaseModel, Field

from xdpctl.abi.structs import Hits
from xdpctl.control.controller import Controller
from xdpctl.incidents.ledger.attribution import tag_of
from xdpctl.model.incident import Incident


class ToldOut(BaseModel):
    """What a detector said; `at` is Unix time, `monotonic` the kernel's clock in seconds."""

    at: float
    monotonic: float
    detector: str
    phase: str
    event: str = Field(description="The detector's own id")
    attack: str
    pps: float
    bps: float
    note: str
    done: int = Field(description="Rules that came of it, or ended with it")


class DoneOut(BaseModel):
    """A rule that came of it."""

    id: str
    what: str
    action: str
    mode: str
    at: float
    ended_at: float | None
    why: str = Field(description="Why it ended")
    packets: int
    bytes: int


class IncidentBrief(BaseModel):
    """Times are Unix time; counters are of all its rules, those that stand as of now."""

    id: str
    subject: str = Field(description="The victim, or whose named sources these are")
    open: bool
    opened_at: float
    updated_at: float
    closed_at: float | None
    closed_by: str
    detectors: list[str]
    attacks: list[str]
    peak_pps: float
    peak_bps: float
    events_told: int
    rules_made: int
    rules_ended: int
    rules_raised: int = Field(description="To the next step of their ladder")
    sources_named: int
    packets: int
    bytes: int
    clock_error: float | None = Field(
        description="Seconds by which times are off at most, as NTP says; null: not synchronised"
    )


class SenderOut(BaseModel):
    """A source address as packets say it."""

    address: str
    packets: int
    connected: bool = Field(description="It had a connection with this host then")
    inside: bool = Field(description="It is of our own networks")
    country: str
    asn: int = Field(description="0 if no database says")
    as_name: str


class EvidenceOut(BaseModel):
    """Of the packets that were kept of what its rules dropped."""

    packets: int
    sources: int = Field(description="Different source addresses")
    bytes: int
    top_sources: list[SenderOut]
    top_services: list[tuple[str, int]] = Field(description="Such as `udp from 53`, and packets")
    rates: list[tuple[float, float, float, float, float]] = Field(
        description="Unix time; packets/s and bit/s its rules hit; packets/s passed and dropped"
    )
    damage: str = Field(description="Where and why the packets could not be read on; or empty")


class IncidentOut(IncidentBrief):
    """All of it; lists hold the first ones."""

    events: list[ToldOut]
    rules: list[DoneOut]
    sources: list[str]
    evidence: EvidenceOut


def standing_of(controller: Controller, held: Incident) -> dict[str, Hits]:
    """The rules that are there because of it, and what they have hit since they are."""
    state, tag = controller.state, tag_of(held)
    listed = {one.id: one for one in held.rules if not one.ended_at}
    found = {}
    sources = [state.rules.get(source) for source in state.tagged.sources(tag)]
    for rule in (*sources, *list(state.signatures.values())):
        if rule and tag in rule.tags:
            hits, one = controller.hits(rule), listed.get(rule.id)
            found[rule.id] = one.since(hits) if one else hits
    return found


def brief(held: Incident, standing: Mapping[str, Hits]) -> dict[str, Any]:
    """The fields of IncidentBrief; `standing` are the hits of its rules that still stand."""
    fields = structs.asdict(held)
    return {
        **{name: fields[name] for name in IncidentBrief.model_fields if name in fields},
        "open": held.open,
        "closed_at": held.closed_at or None,
        "packets": held.packets + sum(hits.packets for hits in standing.values()),
        "bytes": held.bytes + sum(hits.bytes for hits in standing.values()),
    }
