# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of incidents: the stored record, with the current hits of its rules."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import structs
from pydantic import BaseModel, Field

from xdpctl.abi.structs import Hits
from xdpctl.control.controller import Controller
from xdpctl.incidents.ledger.attribution import tag_of
from xdpctl.model.effect import Action, Mode
from xdpctl.model.incident import Incident
from xdpctl.model.naming import Names
from xdpctl_api.paging import Next
from xdpctl_api.shapes.common import KindName, timestamp


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


class CollateralOut(BaseModel):
    """What a match hits of normal traffic of a kind."""

    kind: KindName
    samples: int = Field(description="Packets of normal traffic that were looked at")
    hits: int = Field(description="Of these, packets that match")
    bound: float = Field(description="Upper 95 % confidence bound of the share, 0 to 1")


class DecidingOut(BaseModel):
    """A component that tells attack and normal traffic apart."""

    component: str
    values: str
    now: float = Field(description="Share of the packets now that have these values, 0 to 1")
    before: float | None = Field(
        description="Share of normal traffic of the kind that has them; null: none is known"
    )


class DistributionOut(BaseModel):
    """The shares of a component's values, now and in normal traffic."""

    component: str
    labels: list[str]
    now: list[float]
    before: list[float]


class RuleFindingOut(BaseModel):
    """The finding of a detector that a rule is based on. Rates are in packets a second."""

    rule: str
    at: datetime
    detector: str
    kind: KindName
    rate: float
    threshold: float
    usual: float = Field(description="The highest rate that was normal; 0: none is known")
    heads: int = Field(description="Packets that were looked at")
    coverage: float = Field(description="Share of these packets that match, 0 to 1")
    because: list[str]
    rejected: list[str] = Field(description="Matches that were not chosen, and why")
    deciding: list[DecidingOut]
    collateral: list[CollateralOut]
    picture: DistributionOut | None


class IncidentBrief(BaseModel):
    """An incident in short; counters are of all its rules, as of now."""

    id: str
    subject: str = Field(description="The victim, or the detector that named the sources")
    named: str = Field(description="The same, with the name of the host before its address")
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


class IncidentOut(IncidentBrief):
    """An incident in full; long lists contain only the first items."""

    short: ShortOut = Field(description="The incident in five lines")

    events: list[ToldOut]
    rules: list[DoneOut]
    sources: list[str]
    notes: list[NoteOut]
    findings: list[RuleFindingOut]
    evidence: EvidenceOut


def findings_out(incident: Incident) -> list[RuleFindingOut]:
    """What detectors found, in the order of time."""
    return [
        RuleFindingOut(
            rule=entry.rule,
            at=timestamp(entry.at),
            detector=entry.detector,
            **{name: msgspec.to_builtins(v) for name, v in structs.asdict(entry.finding).items()},
        )
        for entry in incident.findings
    ]


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
        "named": names.tell(incident.told),
        "open": incident.open,
        "opened_at": timestamp(incident.opened_at),
        "updated_at": timestamp(incident.updated_at),
        "closed_at": timestamp(incident.closed_at) if incident.closed_at else None,
        "packets": incident.packets + sum(hits.packets for hits in standing.values()),
        "bytes": incident.bytes + sum(hits.bytes for hits in standing.values()),
    }
