# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes for what one node tries before all nodes have it."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query

from xdpctl.errors import EngineError, NotFoundError, RuleError
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.processes.fleet_link import canary_for, required
from xdpctl_api.auth import Unbound, Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import CHANGE, refusals
from xdpctl_api.shapes.rollouts import RolloutOut, rollout_out

router = APIRouter(prefix="/v1/fleet/rollouts", tags=["fleet"])
_PROBLEMS = refusals(NotFoundError, RuleError, EngineError, *CHANGE)


@router.post("", responses=_PROBLEMS)
async def judge_node(
    who: Unbound,
    ctx: Ctx,
    scope: Annotated[str, Query(description="canary:SECONDS: for how long")],
) -> RolloutOut:
    """Judge this node as it is for some time, as after an upgrade."""
    begin = required(ctx.fleet).rollouts.begin
    return _one(ctx, int(await asyncio.to_thread(begin, who.name, canary_for(scope).seconds)))


@router.get("/{number}", responses=refusals(NotFoundError))
async def read_rollout(number: int, who: Viewer, ctx: Ctx) -> RolloutOut:
    """One rollout that began on this node; the last twenty that ended are kept."""
    required(ctx.fleet)
    return _one(ctx, number)


@router.post("/{number}/publish", responses=_PROBLEMS)
async def publish_rollout(number: int, who: Unbound, ctx: Ctx) -> RolloutOut:
    """Publish for all nodes now."""
    publish = required(ctx.fleet).rollouts.publish
    await asyncio.to_thread(publish, str(number), who.name, f"{who.name} decided so")
    return _one(ctx, number)


@router.delete("/{number}", responses=_PROBLEMS)
async def take_back_rollout(number: int, who: Unbound, ctx: Ctx) -> RolloutOut:
    """Take it back on this node now."""
    take_back = required(ctx.fleet).rollouts.take_back
    await asyncio.to_thread(take_back, str(number), who.name, f"{who.name} decided so")
    return _one(ctx, number)


def _one(ctx: ControlPlane, number: int) -> RolloutOut:
    rollout = ctx.controller.state.rollouts.get(str(number))
    if rollout is None:
        raise NotFoundError(f"no rollout has the number {number}; see xdpctl fleet status")
    return rollout_out(str(number), rollout)
