# SPDX-License-Identifier: GPL-2.0-or-later
"""Detectors in: what they say, what is done about it, and who may stop that."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from xdpctl.control.state.draft import Draft
from xdpctl.control.store.kinds import AUTOMATIC_MODE
from xdpctl.errors import RoleError
from xdpctl.mitigation.hooks import BODY_BYTES_MAX, Answer
from xdpctl.mitigation.undo import take_back
from xdpctl.model.identity import Caller, Role
from xdpctl.model.rule import OPERATOR, Automatic
from xdpctl.service.control_plane import ControlPlane
from xdpctl_api.auth import Unbound, Viewer, caller
from xdpctl_api.dependencies import Ctx
from xdpctl_api.shapes.common import Duration, Strict, seconds
from xdpctl_api.transport.bodies import read_all

router = APIRouter(prefix="/v1", tags=["detectors"])


class HookOut(BaseModel):
    """What became of it; `refused` and `ignored` say why."""

    detector: str
    mode: Automatic
    events: int
    rules: list[str] = Field(description="That stand now for these events")
    released: list[str] = Field(description="That ended with them")
    held: list[str] = Field(description="That ended with them, and stay until they hit no more")
    refused: list[dict[str, str]]
    ignored: list[dict[str, str]]
    watched: list[dict[str, str]] = Field(
        description="In monitor mode, since dropping it would break too many connections"
    )
    incidents: list[str] = Field(description="Where it is on record")
    dry_run: bool


class AutomaticOut(BaseModel):
    """What detectors may do: `mode` is what an operator said, null for the configuration."""

    mode: Automatic | None
    configured: Automatic
    detectors: dict[str, Automatic] = Field(description="What holds for each of them now")


class AutomaticIn(Strict):
    """The mode of automatic mitigation."""

    mode: Automatic | None = Field(description="off, observe, on; null: as configured")


class UndoIn(Strict):
    """Which automatic rules are to be removed."""

    origin: str | None = Field(default=None, description="A detector; else all of them")
    since: Duration = Field(description="How far back")


class UndoOut(BaseModel):
    """The ids of the rules that were removed."""

    removed: list[str]


def detector_caller(request: Request, detector: str) -> Caller:
    """RoleError unless it is that detector, or an operator who acts for no other origin."""
    found = caller(request)
    speaks_for = {found.origin}
    if found.role is not Role.DETECTOR:
        found.require(Role.OPERATOR)
        speaks_for |= {detector} if found.origin == OPERATOR else set()
    if detector not in speaks_for:
        raise RoleError(f"{found.name} may post to the hook of {found.origin}, not to {detector}")
    return found


@router.post("/hooks/{detector}")
async def hook(
    detector: str,
    request: Request,
    ctx: Ctx,
    dry_run: Annotated[bool, Query(description="Tell what would be done")] = False,
) -> HookOut:
    """A detector's own format in; 200 once what it asks for is durable and in the kernel.

    One bad event is refused by itself; a body that cannot be read is 400, and nothing is done.
    """
    who = detector_caller(request, detector)
    read = ctx.hooks.reader(detector)
    body = await read_all(request, BODY_BYTES_MAX)
    return _hook_out(detector, await ctx.hooks.take(detector, read, body, who, dry_run), dry_run)


def _hook_out(detector: str, answer: Answer, dry_run: bool) -> HookOut:
    outcome = answer.outcome
    return HookOut(
        detector=detector,
        mode=answer.mode,
        events=answer.events,
        rules=list(dict.fromkeys(outcome.rules)),
        released=outcome.released,
        held=outcome.held,
        refused=outcome.refused,
        ignored=outcome.ignored,
        watched=outcome.watched,
        incidents=outcome.incidents,
        dry_run=dry_run,
    )


def _automatic(ctx: ControlPlane) -> AutomaticOut:
    return AutomaticOut(
        mode=ctx.controller.state.automatic,
        configured=ctx.settings.automatic.mode,
        detectors={name: ctx.hooks.mode_for(name) for name in ctx.settings.automatic.adapters},
    )


@router.get("/automatic")
async def read_automatic(who: Viewer, ctx: Ctx) -> AutomaticOut:
    """Whether what detectors ask for is done."""
    return _automatic(ctx)


@router.put("/automatic")
async def set_automatic(body: AutomaticIn, who: Unbound, ctx: Ctx) -> AutomaticOut:
    """Off freezes: nothing new is done by itself, what stands stays. It outlives a restart."""

    def operation(draft: Draft) -> None:
        draft.settings[AUTOMATIC_MODE] = body.mode
        draft.note(who.name, "automatic.mode", "", mode=body.mode.value if body.mode else None)

    await asyncio.wrap_future(ctx.controller.submit(operation))
    return _automatic(ctx)


@router.post("/automatic/reload")
async def reload(who: Unbound, ctx: Ctx) -> AutomaticOut:
    """Take [automatic] and [notify] anew from the configuration file; if it is wrong, nothing."""
    await asyncio.to_thread(ctx.reload)
    done = ctx.controller.submit(lambda draft: draft.note(who.name, "automatic.reload", ""))
    await asyncio.wrap_future(done)
    return _automatic(ctx)


@router.post("/automatic/undo")
async def undo(body: UndoIn, who: Unbound, ctx: Ctx) -> UndoOut:
    """Take away all that was added by itself since then, at once."""
    back, hits = seconds(body.since, "since") or 0.0, ctx.controller.hits

    def operation(draft: Draft) -> list[str]:
        return take_back(draft, body.origin, draft.now.unix - back, who, hits)

    return UndoOut(removed=await asyncio.wrap_future(ctx.controller.submit(operation)))
