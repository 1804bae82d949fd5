# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes for detectors: their reports, the mode of automatic mitigation, and undo."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from xdpctl.base.clock import Now
from xdpctl.control.state.draft import Draft
from xdpctl.control.store.kinds import AUTOMATIC_MODE
from xdpctl.errors import CapacityError, ConfigError, NotFoundError, PaceError, RoleError
from xdpctl.mitigation.hooks import BODY_BYTES_MAX, Answer
from xdpctl.mitigation.undo import take_back
from xdpctl.model.effect import Automatic
from xdpctl.model.identity import Caller, Role
from xdpctl.model.rule import OPERATOR
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.auth import Unbound, Viewer, caller
from xdpctl_api.dependencies import Ctx, States
from xdpctl_api.problems import CHANGE, GUARDED, refusals
from xdpctl_api.shapes.common import Duration, Strict, seconds
from xdpctl_api.shapes.fleet import WhereOut, absent
from xdpctl_api.shapes.rules import RuleMade, rule_made
from xdpctl_api.transport.bodies import read_all

router = APIRouter(prefix="/v1", tags=["detectors"])
_ANY = "application/octet-stream"  # each hook expects one format, and ignores the content type
_BODY = {"schema": {"type": "string", "format": "binary"}}


class RefusedOut(BaseModel):
    """Something that was asked for and refused."""

    what: str
    why: str
    fix: str = Field(description="What to do instead; may be empty")


class EventOut(BaseModel):
    """An event, and why it was not acted upon."""

    event: str = Field(description="Id of the event at the detector")
    why: str


class HookOut(BaseModel):
    """The outcome of a body; `refused`, `ignored` and `watched` say why."""

    detector: str
    mode: Automatic
    events: int
    rules: list[str] = Field(description="Rules in force for these events")
    first: list[RuleMade] = Field(description="What the first of them do, at most 100")
    released: list[str] = Field(description="Rules that ended with these events")
    held: list[str] = Field(
        description="Rules whose events ended, and that stay until they have no more hits"
    )
    refused: list[RefusedOut] = Field(description="What was asked for and not done")
    ignored: list[EventOut] = Field(description="Events on which nothing was done")
    watched: list[EventOut] = Field(
        description="Events in monitor mode, because drops would break too many connections"
    )
    incidents: list[str] = Field(
        description="Ids of the incidents in which the events are recorded"
    )
    dry_run: bool


class AutomaticOut(BaseModel):
    """The mode of automatic mitigation.

    `mode` was set by an operator; null: `configured` applies.
    """

    mode: Automatic | None
    configured: Automatic
    detectors: dict[str, Automatic] = Field(description="Mode in force for each detector")
    fleet: WhereOut | None = Field(
        default=None, exclude_if=absent, description="In a fleet, where it is in force"
    )


class AutomaticIn(Strict):
    """The mode of automatic mitigation."""

    mode: Automatic | None = Field(
        description="off, observe, on; null: use the mode of the configuration file"
    )


class UndoIn(Strict):
    """Which automatic rules are to be removed."""

    origin: str | None = Field(
        default=None, description="Name of a detector; default: all detectors"
    )
    since: Duration = Field(description="Remove rules added within this time")


class UndoOut(BaseModel):
    """The ids of the rules that were removed."""

    removed: list[str]
    change: int | None = Field(default=None, description="Number of the change, to undo it")


def detector_caller(request: Request, detector: str) -> Caller:
    """The caller; RoleError unless it is this detector, or an operator not bound to another."""
    who = caller(request)
    speaks_for = {who.origin}
    if who.role is not Role.DETECTOR:
        who.require(Role.OPERATOR)
        speaks_for |= {detector} if who.origin == OPERATOR else set()
    if detector not in speaks_for:
        raise RoleError(f"{who.name} may only post to the hook of {who.origin}, not of {detector}")
    return who


@router.post(
    "/hooks/{detector}",
    responses=refusals(NotFoundError, PaceError, *CHANGE, CapacityError),
    openapi_extra={"requestBody": {"required": True, "content": {_ANY: _BODY}}},
)
async def take_report(
    detector: str,
    request: Request,
    ctx: Ctx,
    dry_run: Annotated[bool, Query(description="Only report what would be done")] = False,
) -> HookOut:
    """Post a report in the detector's own format; 200 once its rules are durable and in the kernel.

    A bad event is refused without affecting the others. A body that cannot be read is 400, and
    nothing is done.
    """
    who = detector_caller(request, detector)
    reader = ctx.hooks.reader(detector)
    body = await read_all(request, BODY_BYTES_MAX)
    answer = await ctx.hooks.take(detector, reader, body, who, dry_run)
    return _hook_out(detector, answer, ctx.controller.clock.read(), dry_run)


def _hook_out(detector: str, answer: Answer, now: Now, dry_run: bool) -> HookOut:
    outcome = answer.outcome
    return HookOut(
        detector=detector,
        mode=answer.mode,
        events=answer.events,
        rules=list(dict.fromkeys(outcome.rules)),
        first=[rule_made(rule, now) for rule in {r.id: r for r in outcome.first}.values()],
        released=outcome.released,
        held=outcome.held,
        refused=[RefusedOut(**refusal) for refusal in outcome.refused],
        ignored=[EventOut(**event) for event in outcome.ignored],
        watched=[EventOut(**event) for event in outcome.watched],
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
    """Read the mode of automatic mitigation, and that of each detector."""
    return _automatic(ctx)


@router.put("/automatic", responses=refusals(*CHANGE))
async def set_automatic(body: AutomaticIn, who: Unbound, ctx: Ctx, states: States) -> AutomaticOut:
    """Set the mode, which survives a restart; `off` adds no more rules, and keeps existing ones."""

    def operation(draft: Draft) -> None:
        draft.settings[AUTOMATIC_MODE] = body.mode
        draft.note(who.name, "automatic.mode", "", mode=body.mode.value if body.mode else None)

    change = ctx.controller.change_by(who)
    await asyncio.wrap_future(ctx.controller.submit(operation, change, states.scope))
    out = _automatic(ctx)
    out.fleet = await states.where(change, [f"settings/{AUTOMATIC_MODE}"])
    return out


@router.post("/automatic/reload", responses=refusals(ConfigError, *CHANGE))
async def reload_automatic(who: Unbound, ctx: Ctx) -> AutomaticOut:
    """Reload [automatic] and [notify] from the configuration; an invalid file changes nothing."""
    await asyncio.to_thread(ctx.reload)
    future = ctx.controller.submit(lambda draft: draft.note(who.name, "automatic.reload", ""))
    await asyncio.wrap_future(future)
    return _automatic(ctx)


@router.post("/automatic/undo", responses=refusals(*GUARDED))
async def undo_automatic(body: UndoIn, who: Unbound, ctx: Ctx) -> UndoOut:
    """Remove all rules that were added automatically within the given time, in one step."""
    back, hits = seconds(body.since, "since") or 0.0, ctx.controller.hits

    def operation(draft: Draft) -> list[str]:
        return take_back(draft, body.origin, draft.now.unix - back, who, hits)

    change = ctx.controller.change_by(who)
    removed = await asyncio.wrap_future(ctx.controller.submit(operation, change))
    return UndoOut(removed=removed, change=change.number if removed else None)
