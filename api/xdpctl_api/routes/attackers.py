# SPDX-License-Identifier: GPL-2.0-or-later
"""Which hosts inside attack others."""

from fastapi import APIRouter

from xdpctl_api.auth import Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.shapes.attackers import AttackerList, attacker_out

router = APIRouter(prefix="/v1", tags=["traffic"])


@router.get("/attackers")
async def attackers(who: Viewer, ctx: Ctx) -> AttackerList:
    """The hosts inside that have attacked others in the last ten minutes."""
    now = ctx.controller.clock.read()
    recent = ctx.attackers.recent()
    return AttackerList(
        attackers=[attacker_out(each, ctx.names, now.ns, now.unix) for each in recent]
    )
