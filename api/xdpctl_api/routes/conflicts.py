# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes for what gave way to another node's change."""

import asyncio

from fastapi import APIRouter

from xdpctl.errors import NotFoundError, RuleError
from xdpctl.processes.fleet_link import required
from xdpctl_api.auth import Unbound
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import CHANGE, refusals
from xdpctl_api.shapes.fleet import ConflictDone

router = APIRouter(prefix="/v1/fleet/conflicts", tags=["fleet"])
_PROBLEMS = refusals(NotFoundError, RuleError, *CHANGE)


@router.post("/{kind}/{name}/again", responses=_PROBLEMS)
async def ask_again(kind: str, name: str, who: Unbound, ctx: Ctx) -> ConflictDone:
    """Ask again for what gave way, in place of what stands."""
    agent = required(ctx.fleet)
    what = await asyncio.to_thread(agent.settle, f"{kind}/{name}", who.name, leave=False)
    return ConflictDone(what=what)


@router.delete("/{kind}/{name}", responses=_PROBLEMS)
async def forget_conflict(kind: str, name: str, who: Unbound, ctx: Ctx) -> ConflictDone:
    """Leave it at what stands."""
    agent = required(ctx.fleet)
    what = await asyncio.to_thread(agent.settle, f"{kind}/{name}", who.name, leave=True)
    return ConflictDone(what=what)
