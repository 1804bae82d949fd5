# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether services inside serve their clients."""

from typing import Annotated

from fastapi import APIRouter, Query

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.errors import RuleError
from xdpctl.traffic.service_figures import verdict
from xdpctl_api.auth import Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.paging import Cursor, number
from xdpctl_api.problems import refusals
from xdpctl_api.shapes.traffic import ServedList, served_out

router = APIRouter(prefix="/v1", tags=["traffic"])


@router.get("/served", responses=refusals(RuleError))
async def served(
    who: Viewer,
    ctx: Ctx,
    at: Annotated[str, Query(description="Address or prefix of the services; empty: all")] = "",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Cursor = None,
) -> ServedList:
    """The services inside: how many clients get in, now and usually, and how long they wait."""
    first = number(cursor, 0)
    around = parse_prefix(at, "at") if at else None
    services = [
        entry
        for entry in ctx.sampler.served.figures()
        if around is None or around.covers(entry.service.host)
    ]
    last = first + limit
    return ServedList(
        services=[served_out(entry, ctx.names) for entry in services[first:last]],
        text=verdict(services),
        next=str(last) if len(services) > last else None,
    )
