# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of incidents: the stored record, with the current hits of its rules."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import structs
from pydantic import BaseModel, Field

from xdpctl.abi.structs import Hits
from xdpctl.control.controller import Controller
from xdpctl.incidents.ledger.attribution import tag_of
from xdpctl.model.effect import Action, Mode
from xdpctl.model.incident import Incident, subject_in_words
from xdpctl.model.naming import Names
from xdpctl_api.paging import Next
from xdpctl_api.shapes.common import timestamp
from xdpctl_api.shapes.findings import RuleFindingOut


class ToldOut(BaseModel):
    """A report of a detector; `monotonic` is the kernel's clock, in seconds."""

    at: datetime
    monotonic: float
    detector: str
    phase: str
    event: str = Field(description="Id of the event at the detector")
    attack: str
    pps: float
    bps: float
    note: str
    done: int = Field(description="Number of rules added for it, or ended with it")


class DoneOut(BaseModel):
    """A rule of the incident."""

    id: str
    what: str
    action: Action
    mode: Mode
    at: datetime
    ended_at: datetime | None
    why: str = Field(description="Why it ended")
    packets: int
    bytes: int
    collateral: str = Field(
        description="Whom it hits, or hit when it ended, in words; empty: not tried"
    )


class NoteOut(BaseModel):
    """What a person wrote about the incident."""

    at: datetime
    who: str
    text: str


class IncidentBrief(BaseModel):
    """An incident in short; counters are of all its rules, as of now."""

    id: str
    subject: str = Field(description="The victim, or the detector that named the sources")
    named: str = Field(description="The same, with the name of the host before its address")
    words: str = Field(
        description="The attacks and the subject in words",
        examples=["SYN flood on web server (198.51.100.7)"],
    )
    open: bool
    opened_at: datetime
    updated_at: datetime
    closed_at: datetime | None
    closed_by: str
    detectors: list[str]
    attacks: list[str]
    peak_pps: float
    peak_bps: float
    events_told: int
    rules_made: int
    rules_ended: int
    rules_softened: int = Field(
        description="Number of rules that hit people, and became limits that let these through"
    )
    rules_raised: int = Field(description="Number of rules raised to the next step of their ladder")
    sources_named: int
    packets: int
    bytes: int
    clock_error: float | None = Field(
        description="Maximum error of times in seconds, according to NTP; null: not synchronised"
    )


class IncidentList(BaseModel):
    """One page of incidents, the newest first."""

    incidents: list[IncidentBrief]
    next: Next


class SenderOut(BaseModel):
    """A source address of sampled packets."""

    address: str
    packets: int
    connected: bool = Field(
        description="It had an established connection with this host at that time"
    )
    inside: bool = Field(description="It is in automatic.networks, or protected")
    country: str
    asn: int = Field(description="0 if it is not known")
    as_name: str
    port: int = Field(description="The source port of its first TCP packet that was kept; 0: none")


class EvidenceOut(BaseModel):
    """Evidence from the sampled packets that the rules of the incident dropped.

    If the rules dropped none, the packets are those sent to the victim, and `received` is true.
    """

    packets: int
    sources: int = Field(description="Number of different source addresses")
    bytes: int
    top_sources: list[SenderOut]
    top_services: list[tuple[str, int]] = Field(
        description="Service, such as `udp from 53`, and its number of packets"
    )
    rates: list[tuple[float, float, float, float, float, float | None, float | None]] = Field(
        description="Unix time; packets/s and bit/s that rules hit; packets/s passed and dropped; "
        "newcomers a minute that get in at the victim, and those that are usual; null: not known"
    )
    received: bool = Field(
        default=False,
        description="No rule dropped these: they were sent to the victim, some of them legitimate",
    )
    damage: str = Field(description="Where and why reading the packets failed; empty if it did not")


class ShortOut(BaseModel):
    """An incident in five lines."""

    what: str = Field(description="What kind of attack, on whom, and how large")
    since: str = Field(description="When it began, and how long it lasted")
    done: str = Field(description="What was done, and what it hit")
    cost: str = Field(description="Whom it cost, as far as that is measured")
    open: str = Field(description="What still stands or waits")


class IncidentWhole(IncidentBrief):
    """An incident in full; long lists contain only the first items."""

    events: list[ToldOut]
    rules: list[DoneOut]
    sources: list[str]
    notes: list[NoteOut]
    findings: list[RuleFindingOut]
    evidence: EvidenceOut


class IncidentOut(IncidentWhole):
    """An incident in full, and in five lines."""

    short: ShortOut = Field(description="The incident in five lines")


def standing_of(controller: Controller, incident: Incident) -> dict[str, Hits]:
    """The current rules of an incident, by id, and their hits since they joined it."""
    state, tag = controller.state, tag_of(incident)
    by_id = {record.id: record for record in incident.rules if not record.ended_at}
    hits_by_id = {}
    sources = [state.rules.get(source) for source in state.tagged.sources(tag)]
    for rule in (*sources, *list(state.matches.values())):
        if rule and tag in rule.tags:
            hits, record = controller.hits(rule), by_id.get(rule.id)
            hits_by_id[rule.id] = record.since(hits) if record else hits
    return hits_by_id


def brief(incident: Incident, standing: Mapping[str, Hits], names: Names) -> dict[str, Any]:
    """The fields of IncidentBrief; `standing` has the hits of its current rules."""
    fields = structs.asdict(incident)
    return {
        **{name: fields[name] for name in IncidentBrief.model_fields if name in fields},
        "named": names.tell(subject_in_words(incident.subject)),
        "words": names.tell(incident.words),
        "open": incident.open,
        "opened_at": timestamp(incident.opened_at),
        "updated_at": timestamp(incident.updated_at),
        "closed_at": timestamp(incident.closed_at) if incident.closed_at else None,
        "packets": incident.packets + sum(hits.packets for hits in standing.values()),
        "bytes": incident.bytes + sum(hits.bytes for hits in standing.values()),
    }
