# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened: attacks as they were told, what was done, and what came of it."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse
from msgspec import structs
from pydantic import BaseModel

from xdpctl.control.controller import Controller
from xdpctl.errors import NotFoundError
from xdpctl.incidents import report, summary
from xdpctl.model.incident import Incident
from xdpctl.service.control_plane import ControlPlane
from xdpctl_api.auth import Operator, Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.shapes.incidents import (
    DoneOut,
    EvidenceOut,
    IncidentBrief,
    IncidentOut,
    ToldOut,
    brief,
    standing_of,
)

router = APIRouter(prefix="/v1/incidents", tags=["detectors"])
PCAPNG, ZIP, NDJSON = "application/x-pcapng", "application/zip", "application/x-ndjson"


class KeyOut(BaseModel):
    """With what archives of incidents are signed here."""

    algorithm: str
    fingerprint: str


@router.get("")
async def list_incidents(
    who: Viewer,
    ctx: Ctx,
    open: Annotated[bool, Query(description="Only those that are not over")] = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, list[IncidentBrief]]:
    """The newest first."""
    held = [one for one in list(ctx.controller.state.incidents.values()) if one.open or not open]
    held.sort(key=lambda one: (-one.opened_at, one.id))
    return {"incidents": await asyncio.to_thread(_briefs, ctx.controller, held[:limit])}


def _briefs(controller: Controller, incidents: list[Incident]) -> list[IncidentBrief]:
    return [IncidentBrief(**brief(one, standing_of(controller, one))) for one in incidents]


@router.get("/key")
async def read_key(who: Viewer, ctx: Ctx) -> KeyOut:
    """With what archives are signed on this box: to be compared with what `verify` tells.

    404 until something was signed: a question makes no key.
    """
    if not ctx.settings.incident_key.exists():
        raise NotFoundError("nothing was signed on this box yet; export an incident first")
    return KeyOut(algorithm="Ed25519", fingerprint=await asyncio.to_thread(_fingerprint, ctx))


@router.get("/{incident_id}")
async def read_incident(incident_id: str, who: Viewer, ctx: Ctx) -> IncidentOut:
    """One, whole: what was said when, what was done, and what it hit."""
    held = _held(ctx, incident_id)
    places = await asyncio.to_thread(ctx.geo)
    found = await asyncio.to_thread(summary.read, ctx.files, held.id, places, ctx.ours)
    standing = await asyncio.to_thread(standing_of, ctx.controller, held)
    rules = []
    for one in held.rules:
        fields = structs.asdict(one) | {"ended_at": one.ended_at or None}
        if not one.ended_at and one.id in standing:
            fields |= {"packets": standing[one.id].packets, "bytes": standing[one.id].bytes}
        rules.append(DoneOut(**fields))
    return IncidentOut(
        **brief(held, standing),
        events=[ToldOut(**structs.asdict(one)) for one in held.events],
        rules=rules,
        sources=list(held.sources),
        evidence=EvidenceOut(**found.as_json()),
    )


@router.get("/{incident_id}/packets", response_class=FileResponse)
async def read_packets(incident_id: str, who: Operator, ctx: Ctx) -> FileResponse:
    """Some of the packets that its rules dropped, as pcapng with comments."""
    path = ctx.files.packets(_held(ctx, incident_id).id)
    return _file(path, PCAPNG, f"no packets of {incident_id} were kept: its rules dropped none")


@router.get("/{incident_id}/said", response_class=FileResponse)
async def read_said(incident_id: str, who: Operator, ctx: Ctx) -> FileResponse:
    """What detectors said of it, word for word: NDJSON of `at`, `detector`, `body` and `cut`."""
    path = ctx.files.words(_held(ctx, incident_id).id)
    return _file(path, NDJSON, f"what was said of {incident_id} was not kept")


@router.get("/{incident_id}/export", response_class=Response)
async def export_incident(incident_id: str, who: Operator, ctx: Ctx) -> Response:
    """One archive: report, records, packets, sources and drafts, with hashes that are signed."""
    shown = await read_incident(incident_id, who, ctx)
    made = await asyncio.to_thread(_archive, ctx, shown)
    name = f'attachment; filename="incident-{shown.id}.zip"'
    return Response(made, media_type=ZIP, headers={"Content-Disposition": name})


def _file(path: Path, media: str, missing: str) -> FileResponse:
    if not path.is_file():
        raise NotFoundError(missing)
    return FileResponse(path, media_type=media, filename=path.name)


def _fingerprint(ctx: ControlPlane) -> str:
    from xdpctl.base.system.signing_key import fingerprint, signing_key

    key = signing_key(ctx.settings.incident_key, make=False)
    return fingerprint(key.public_key())


def _archive(ctx: ControlPlane, shown: IncidentOut) -> bytes:
    from xdpctl.base.system.signing_key import signing_key  # late: both load cryptography
    from xdpctl.incidents import archive

    held = shown.model_dump(mode="json")
    files = {
        "report.html": report.page(held).encode(),
        "report.md": report.markdown(held).encode(),
        "incident.json": shown.model_dump_json(indent=1).encode(),
        "sources.csv": report.sources_csv(held).encode(),
        "to-provider.txt": report.to_provider(held).encode(),
        "to-ic3.txt": report.to_ic3(held).encode(),
    }
    kept = {
        "packets.pcapng": ctx.files.packets(shown.id),
        "rates.csv": ctx.files.rates(shown.id),
        "said.ndjson": ctx.files.words(shown.id),
    }
    files |= {name: path.read_bytes() for name, path in kept.items() if path.is_file()}
    key = signing_key(ctx.settings.incident_key)
    return archive.archive(shown.id, files, key, datetime.now(UTC).isoformat(timespec="seconds"))


def _held(ctx: ControlPlane, incident_id: str) -> Incident:
    held = ctx.controller.state.incidents.get(incident_id)
    if held is None:
        raise NotFoundError(f"there is no incident {incident_id[:40]!r}; see GET /v1/incidents")
    return held
