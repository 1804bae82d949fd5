# SPDX-License-Identifier: GPL-2.0-or-later
"""Incidents: what detectors reported, what was done, and what the rules hit."""

import asyncio
import re
from typing import Annotated, Any

from fastapi import APIRouter, Query
from msgspec import structs
from pydantic import Field

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.state.draft import Draft
from xdpctl.errors import ConfigError, ConflictError, NotFoundError, RuleError
from xdpctl.incidents import report, summary
from xdpctl.incidents.in_short import in_short
from xdpctl.incidents.ledger import by_hand
from xdpctl.model.event import Attack, plain
from xdpctl.model.incident import Incident, Note, TimelineEntry
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.auth import Operator, Unbound, Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.paging import Cursor, misread
from xdpctl_api.problems import CHANGE, refusals
from xdpctl_api.shapes.common import Strict, timestamp
from xdpctl_api.shapes.findings import findings_out
from xdpctl_api.shapes.incidents import (
    DoneOut,
    EvidenceOut,
    IncidentBrief,
    IncidentList,
    IncidentOut,
    IncidentWhole,
    NoteOut,
    ShortOut,
    ToldOut,
    brief,
    standing_of,
)

_LATEST = "latest"
_OPENED = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")  # Unix time, in cursors
router = APIRouter(prefix="/v1/incidents", tags=["incidents"])
NOTE_MAX = 1_000  # characters


@router.get("")
async def list_incidents(
    who: Viewer,
    ctx: Ctx,
    open: Annotated[bool, Query(description="Only incidents that are open")] = False,
    victim: Annotated[
        str, Query(description="Only incidents of this victim: an address or a prefix")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Cursor = None,
) -> IncidentList:
    """List incidents, the newest first."""
    incidents = list(ctx.controller.state.incidents.values())
    of = str(parse_prefix(victim, "victim")) if victim else None
    chosen = [
        incident
        for incident in incidents
        if (incident.open or not open) and of in (None, incident.subject)
    ]
    after = _place(cursor) if cursor is not None else None
    chosen = sorted((each for each in chosen if after is None or _order(each) > after), key=_order)
    briefs = await asyncio.to_thread(_briefs, ctx, chosen[:limit])
    last = chosen[limit - 1] if len(chosen) > limit else None
    return IncidentList(incidents=briefs, next=f"{last.opened_at!r};{last.id}" if last else None)


def _order(incident: Incident) -> tuple[float, str]:
    """The place of an incident in the list, in which the newest one is the first."""
    return -incident.opened_at, incident.id


def _place(cursor: str) -> tuple[float, str]:
    """The place of the last incident of the page before; that incident may have been forgotten."""
    opened, semicolon, identity = cursor.partition(";")
    if not _OPENED.fullmatch(opened) or not semicolon:
        raise misread(cursor)
    return -float(opened), identity


def _briefs(ctx: ControlPlane, incidents: list[Incident]) -> list[IncidentBrief]:
    return [
        IncidentBrief(**brief(incident, standing_of(ctx.controller, incident), ctx.names))
        for incident in incidents
    ]


class IncidentIn(Strict):
    """An incident that a person opens."""

    victim: str = Field(description="Address or prefix that is attacked")
    attack: Attack = Attack.UNKNOWN
    note: str = Field(default="", max_length=200)


@router.post("", status_code=201, responses=refusals(ConflictError, *CHANGE))
async def open_incident(body: IncidentIn, who: Operator, whole: Unbound, ctx: Ctx) -> IncidentBrief:
    """Open an incident; rules that people add until it is closed belong to it."""
    victim, hits = parse_prefix(body.victim, "victim"), ctx.controller.hits

    def operation(draft: Draft) -> Incident:
        return by_hand.open_incident(draft, victim, body.attack, plain(body.note), who, hits)

    opened = await asyncio.wrap_future(ctx.controller.submit(operation))
    return _briefs(ctx, [opened])[0]


@router.post("/{incident_id}/close", responses=refusals(NotFoundError, ConflictError, *CHANGE))
async def close_incident(
    incident_id: str, who: Operator, whole: Unbound, ctx: Ctx
) -> IncidentBrief:
    """Close an incident that a person opened; its rules stay."""
    closed = ctx.controller.submit(lambda d: by_hand.close_incident(d, incident_id, who))
    return _briefs(ctx, [await asyncio.wrap_future(closed)])[0]


class NoteIn(Strict):
    """What a person writes about an incident."""

    text: str = Field(min_length=1, max_length=NOTE_MAX)


@router.post(
    "/{incident_id}/notes",
    status_code=201,
    responses=refusals(RuleError, NotFoundError, ConflictError, *CHANGE),
)
async def add_note(
    incident_id: str, body: NoteIn, who: Operator, whole: Unbound, ctx: Ctx
) -> NoteOut:
    """Keep a note with an incident; its report and archive show it."""
    text = plain(body.text, NOTE_MAX)
    if not text:
        raise RuleError("the note is empty", "text", "write what you know")
    noted = ctx.controller.submit(lambda d: by_hand.add_note(d, incident_id, text, who))
    return NoteOut(**_dated((await asyncio.wrap_future(noted)).notes[-1]))


@router.get("/{incident_id}", responses=refusals(NotFoundError, ConfigError))
async def read_incident(incident_id: str, who: Viewer, ctx: Ctx) -> IncidentOut:
    """One incident with its events, rules, sources and evidence; `latest`: the newest one."""
    incident = find(ctx, incident_id)
    places = await asyncio.to_thread(ctx.geo_databases.current)
    evidence = await asyncio.to_thread(summary.read, ctx.files, incident.id, places, ctx.ours)
    standing = await asyncio.to_thread(standing_of, ctx.controller, incident)
    rules = []
    for rule in incident.rules:
        fields = structs.asdict(rule) | {
            "at": timestamp(rule.at),
            "ended_at": timestamp(rule.ended_at) if rule.ended_at else None,
        }
        if not rule.ended_at and rule.id in standing:
            fields |= {"packets": standing[rule.id].packets, "bytes": standing[rule.id].bytes}
            whom = ctx.controller.state.collateral.get(rule.id)
            fields["collateral"] = str(whom) if whom else ""
        rules.append(DoneOut(**fields))
    whole = IncidentWhole(
        **brief(incident, standing, ctx.names),
        events=[ToldOut(**_dated(event)) for event in incident.events],
        rules=rules,
        sources=list(incident.sources),
        notes=[NoteOut(**_dated(note)) for note in incident.notes],
        findings=findings_out(incident),
        evidence=EvidenceOut(**evidence.as_json()),
    )
    document = whole.model_dump(mode="json")
    short = ShortOut(**in_short(document, report.facts(document)))
    return IncidentOut(short=short, **dict(whole))


def _dated(entry: TimelineEntry | Note) -> dict[str, Any]:
    """The fields of an entry, with its time as the API has it."""
    return structs.asdict(entry) | {"at": timestamp(entry.at)}


def find(ctx: ControlPlane, incident_id: str) -> Incident:
    """The incident; `latest` is the one that began last. NotFoundError if there is none."""
    incidents = ctx.controller.state.incidents
    incident = incidents.get(incident_id)
    if incident is None and incident_id == _LATEST:
        incident = max(list(incidents.values()), key=lambda i: i.opened_at, default=None)
    if incident is None:
        raise NotFoundError(f"there is no incident {incident_id[:40]!r}; see GET /v1/incidents")
    return incident
