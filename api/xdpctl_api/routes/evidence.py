# SPDX-License-Identifier: GPL-2.0-or-later
"""What is kept of an incident: packets, reports of detectors, and the signed archive."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel

from xdpctl.errors import ConfigError, NotFoundError
from xdpctl.incidents import abuse, drafts, report
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.auth import Operator, Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals, streamed
from xdpctl_api.routes.incidents import find, read_incident
from xdpctl_api.shapes.incidents import IncidentOut

router = APIRouter(prefix="/v1/incidents", tags=["incidents"])
PCAPNG, ZIP, NDJSON = "application/x-pcapng", "application/zip", "application/x-ndjson"


class KeyOut(BaseModel):
    """The key that signs archives of incidents on this host."""

    algorithm: str
    fingerprint: str


@router.get("/key", responses=refusals(NotFoundError))
async def read_key(who: Viewer, ctx: Ctx) -> KeyOut:
    """The key that signs archives on this host; compare it with what `incident verify` prints.

    404 until something was signed: reading does not create the key.
    """
    if not ctx.settings.incident_key.exists():
        raise NotFoundError("nothing was signed on this host yet; export an incident first")
    return KeyOut(algorithm="Ed25519", fingerprint=await asyncio.to_thread(_fingerprint, ctx))


@router.get(
    "/{incident_id}/packets",
    response_class=FileResponse,
    responses={200: streamed(PCAPNG, "A capture file"), **refusals(NotFoundError)},
)
async def read_packets(incident_id: str, who: Operator, ctx: Ctx) -> FileResponse:
    """Sampled packets that the rules dropped, or that went to the victim, as pcapng."""
    path = ctx.files.packets(find(ctx, incident_id).id)
    return _file(path, PCAPNG, f"no packets of {incident_id} were stored")


@router.get(
    "/{incident_id}/said",
    response_class=FileResponse,
    responses={200: streamed(NDJSON, "One report a line"), **refusals(NotFoundError)},
)
async def read_said(incident_id: str, who: Operator, ctx: Ctx) -> FileResponse:
    """The reports of detectors, verbatim: NDJSON of `at`, `detector`, `body` and `cut`."""
    path = ctx.files.words(find(ctx, incident_id).id)
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
