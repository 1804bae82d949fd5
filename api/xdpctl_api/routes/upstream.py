# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes about what is upstream: how full the uplinks are, and what to ask of the provider."""

import asyncio

from fastapi import APIRouter

from xdpctl.errors import ConfigError, NotFoundError
from xdpctl.model.incident import Incident
from xdpctl.service.control_plane import ControlPlane
from xdpctl.upstream.request import letter
from xdpctl_api.auth import Operator, Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.refusals import refusals
from xdpctl_api.shapes.upstream import (
    AttackOut,
    LetterOut,
    UpstreamOut,
    request_out,
    uplink_out,
)

router = APIRouter(prefix="/v1/upstream", tags=["upstream"])


@router.get("")
async def read_upstream(who: Viewer, ctx: Ctx) -> UpstreamOut:
    """How full each uplink is, and what to ask of the provider about each open incident."""
    return await asyncio.to_thread(_upstream, ctx)


def _upstream(ctx: ControlPlane) -> UpstreamOut:
    watch = ctx.uplinks
    opened = [each for each in list(ctx.controller.state.incidents.values()) if each.open]
    return UpstreamOut(
        uplinks=[uplink_out(link, name not in watch.absent) for name, link in watch.links.items()],
        attacks=[_attack(ctx, incident) for incident in opened],
    )


def _attack(ctx: ControlPlane, incident: Incident) -> AttackOut:
    asked = [request_out(each) for each in ctx.uplinks.asked(incident)]
    return AttackOut(incident=incident.id, subject=incident.subject, requests=asked)


@router.get("/letters/{incident_id}", responses=refusals(NotFoundError, ConfigError))
async def read_letter(incident_id: str, who: Operator, ctx: Ctx) -> LetterOut:
    """A letter to the provider's NOC while an attack goes on: what to filter for us."""
    incident = ctx.controller.state.incidents.get(incident_id)
    if incident is None:
        raise NotFoundError(f"there is no incident {incident_id[:40]!r}; see GET /v1/incidents")
    watch = ctx.uplinks
    uplink = watch.fullest()
    if uplink is None:
        raise ConfigError("no uplink is configured: add upstream.uplinks to the configuration")
    asked = await asyncio.to_thread(watch.asked, incident)
    state = watch.links[uplink.interface].state
    return LetterOut(text=letter(incident.subject, asked, uplink, state))
