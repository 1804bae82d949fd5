# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether services inside serve those who ask them."""

from typing import Annotated

from fastapi import APIRouter, Query

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.errors import RuleError
from xdpctl_api.auth import Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals
from xdpctl_api.shapes.traffic import ServedList, served_out

router = APIRouter(prefix="/v1", tags=["traffic"])


@router.get("/served", responses=refusals(RuleError))
async def served(
    who: Viewer,
    ctx: Ctx,
    at: Annotated[str, Query(description="Address or prefix of the services; empty: all")] = "",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> ServedList:
    """The services inside: who gets in against what is usual, and how long clients wait."""
    around = parse_prefix(at, "at") if at else None
    found = [
        each
        for each in ctx.sampler.served.figures()
        if around is None or around.covers(each.service.host)
    ]
    return ServedList(services=[served_out(each) for each in found[:limit]])
