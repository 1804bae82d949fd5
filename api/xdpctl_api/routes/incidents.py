# SPDX-License-Identifier: GPL-2.0-or-later
"""Incidents: what detectors reported, what was done, and what the rules hit."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse
from msgspec import structs
from pydantic import BaseModel, Field

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.state.draft import Draft
from xdpctl.errors import ConfigError, ConflictError, NotFoundError, RuleError
from xdpctl.incidents import abuse, drafts, report, summary
from xdpctl.incidents.ledger import by_hand
from xdpctl.model.event import Attack, plain
from xdpctl.model.incident import Incident, Note, TimelineEntry
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.auth import Operator, Unbound, Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.paging import Cursor, misread
from xdpctl_api.problems import CHANGE, refusals, streamed
from xdpctl_api.shapes.common import Strict, timestamp
from xdpctl_api.shapes.incidents import (
    DoneOut,
    EvidenceOut,
    IncidentBrief,
    IncidentList,
    IncidentOut,
    NoteOut,
    ToldOut,
    brief,
    findings_out,
    standing_of,
)

_LATEST = "latest"
router = APIRouter(prefix="/v1/incidents", tags=["incidents"])
NOTE_MAX = 1_000  # characters
PCAPNG, ZIP, NDJSON = "application/x-pcapng", "application/zip", "application/x-ndjson"


class KeyOut(BaseModel):
    """The key that signs archives of incidents on this host."""

    algorithm: str
    fingerprint: str


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
    try:
        return -float(opened), identity if semicolon else ""
    except ValueError:
        raise misread(cursor) from None


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


@router.get("/key", responses=refusals(NotFoundError))
async def read_key(who: Viewer, ctx: Ctx) -> KeyOut:
    """The key that signs archives on this host; compare it with what `incident verify` prints.

    404 until something was signed: reading does not create the key.
    """
    if not ctx.settings.incident_key.exists():
        raise NotFoundError("nothing was signed on this host yet; export an incident first")
    return KeyOut(algorithm="Ed25519", fingerprint=await asyncio.to_thread(_fingerprint, ctx))


@router.get("/{incident_id}", responses=refusals(NotFoundError, ConfigError))
async def read_incident(incident_id: str, who: Viewer, ctx: Ctx) -> IncidentOut:
    """One incident with its events, rules, sources and evidence; `latest`: the newest one."""
    incident = _find(ctx, incident_id)
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
    return IncidentOut(
        **brief(incident, standing, ctx.names),
        events=[ToldOut(**_dated(event)) for event in incident.events],
        rules=rules,
        sources=list(incident.sources),
        notes=[NoteOut(**_dated(note)) for note in incident.notes],
        findings=findings_out(incident),
        evidence=EvidenceOut(**evidence.as_json()),
    )


@router.get(
    "/{incident_id}/packets",
    response_class=FileResponse,
    responses={200: streamed(PCAPNG, "A capture file"), **refusals(NotFoundError)},
)
async def read_packets(incident_id: str, who: Operator, ctx: Ctx) -> FileResponse:
    """Sampled packets that the rules dropped, or that went to the victim, as pcapng."""
    path = ctx.files.packets(_find(ctx, incident_id).id)
    return _file(path, PCAPNG, f"no packets of {incident_id} were stored")


@router.get(
    "/{incident_id}/said",
    response_class=FileResponse,
    responses={200: streamed(NDJSON, "One report a line"), **refusals(NotFoundError)},
)
async def read_said(incident_id: str, who: Operator, ctx: Ctx) -> FileResponse:
    """The reports of detectors, verbatim: NDJSON of `at`, `detector`, `body` and `cut`."""
    path = ctx.files.words(_find(ctx, incident_id).id)
    return _file(path, NDJSON, f"no reports of {incident_id} were stored")


@router.get(
    "/{incident_id}/export",
    response_class=Response,
    responses={200: streamed(ZIP, "The archive"), **refusals(NotFoundError, ConfigError)},
)
async def export_incident(incident_id: str, who: Operator, ctx: Ctx) -> Response:
    """A signed archive: report, records, packets, sources and draft messages."""
    details = await read_incident(incident_id, who, ctx)
    data = await asyncio.to_thread(_archive, ctx, details)
    name = f'attachment; filename="incident-{details.id}.zip"'
    return Response(data, media_type=ZIP, headers={"Content-Disposition": name})


def _file(path: Path, media: str, missing: str) -> FileResponse:
    if not path.is_file():
        raise NotFoundError(missing)
    return FileResponse(path, media_type=media, filename=path.name)


def _fingerprint(ctx: ControlPlane) -> str:
    from xdpctl.base.system.signing_key import fingerprint, signing_key

    key = signing_key(ctx.settings.incident_key, make=False)
    return fingerprint(key.public_key())


def _archive(ctx: ControlPlane, details: IncidentOut) -> bytes:
    from xdpctl.base.system.signing_key import signing_key  # imported late: both load cryptography
    from xdpctl.incidents import archive

    incident = details.model_dump(mode="json")
    files = {
        "report.html": report.page(incident).encode(),
        "report.md": report.markdown(incident).encode(),
        "incident.json": details.model_dump_json(indent=1).encode(),
        "sources.csv": report.sources_csv(incident).encode(),
        "to-provider.txt": drafts.to_provider(incident).encode(),
        "to-ic3.txt": drafts.to_ic3(incident).encode(),
    }
    if ctx.settings.reporter.organisation:
        files |= abuse.reports(incident, ctx.settings.reporter)
    paths = {
        "packets.pcapng": ctx.files.packets(details.id),
        "rates.csv": ctx.files.rates(details.id),
        "said.ndjson": ctx.files.words(details.id),
    }
    files |= {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
    key = signing_key(ctx.settings.incident_key)
    return archive.archive(details.id, files, key, datetime.now(UTC).isoformat(timespec="seconds"))


def _dated(entry: TimelineEntry | Note) -> dict[str, Any]:
    """The fields of an entry, with its time as the API has it."""
    return structs.asdict(entry) | {"at": timestamp(entry.at)}


def _find(ctx: ControlPlane, incident_id: str) -> Incident:
    """The incident; `latest` is the one that began last. NotFoundError if there is none."""
    incidents = ctx.controller.state.incidents
    incident = incidents.get(incident_id)
    if incident is None and incident_id == _LATEST:
        incident = max(list(incidents.values()), key=lambda i: i.opened_at, default=None)
    if incident is None:
        raise NotFoundError(f"there is no incident {incident_id[:40]!r}; see GET /v1/incidents")
    return incident
