"""Detectors in: what they say, what is done about it, and who may stop that."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from xdpctl.base.net.tcp_peers import Peers
from xdpctl.control.state.draft import Draft
from xdpctl.control.store.kinds import AUTOMATIC_MODE
from xdpctl.detectors.registry import adapter
from xdpctl.errors import BusyError, PaceError, RoleError
from xdpctl.incidents import statements
from xdpctl.mitigation.outcome import Outcome
from xdpctl.mitigation.rate_limit import Paces
from xdpctl.mitigation.responder import Responder
from xdpctl.mitigation.undo import undo as take_back
from xdpctl.model.event import Event
from xdpctl.model.identity import Caller, Role
from xdpctl.model.rule import OPERATOR, Automatic
from xdpctl.notify.changes import News
from xdpctl.notify.settings import Kind
from xdpctl_api.auth import Unbound, Viewer, caller
from xdpctl_api.bodies import read_all
from xdpctl_api.context import Context, context
from xdpctl_api.shapes import Duration, Strict, seconds

router = APIRouter(prefix="/v1", tags=["detectors"])
Ctx = Annotated[Context, Depends(context)]
HOOK_BYTES, _LARGE = 4 << 20, 64 << 10
_AT_ONCE = 1_000  # events
_WAIT_SECONDS, _WAIT_STEP, _READ_SECONDS = 10.0, 0.05, 20.0  # of large bodies
log = logging.getLogger("xdpctl.api")


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
    mode: Automatic | None = Field(description="off, shadow, on; null: as configured")


class UndoIn(Strict):
    origin: str | None = Field(default=None, description="A detector; else all of them")
    since: Duration = Field(description="How far back")


class UndoOut(BaseModel):
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
    read = adapter(detector, ctx.settings.automatic.adapters)
    body = await read_all(request, HOOK_BYTES)
    _pace(ctx, ctx.received, detector, len(body), _BYTES)
    events = read(body) if len(body) < _LARGE else await _read(ctx, lambda: read(body))
    _pace(ctx, ctx.events, detector, len(events), _EVENTS)
    outcome, mode = Outcome(), ctx.automatic_for(detector)
    for at in range(0, len(events), _AT_ONCE):
        some = events[at : at + _AT_ONCE]
        peers = await _peers(ctx) if any(event.sources for event in some) else Peers()
        became, mode = await _done(ctx, _Part(detector, who, some, peers, dry_run))
        outcome.add(became)
        if not dry_run:
            ctx.returns.came(became.blocked, ctx.controller.clock.read().ns / 1e9)
            _tell(ctx, detector, became)
    if not dry_run:
        _keep(ctx, detector, body, outcome.incidents)
    return _answer(detector, mode, len(events), outcome, dry_run)


_BYTES, _EVENTS = "bytes", "events"


def _pace(ctx: Context, paces: Paces, detector: str, count: int, of: str) -> None:
    """PaceError if it is too much; else it is spent."""
    now = time.monotonic()
    if count > paces.room(detector, now):
        ctx.paced[detector] += 1
        raise PaceError(f"{detector} sends more than {paces.most:,} {of} in a minute")
    paces.spend(detector, count, now)


async def _read(ctx: Context, work: Callable[[], list[Event]]) -> list[Event]:
    """A large body, beside the loop; BusyError if those before it take too long."""
    give_up = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            started = ctx.parsing.start(work)
        except BusyError:
            if ctx.stopping or time.monotonic() >= give_up:
                raise
            await asyncio.sleep(_WAIT_STEP)
        else:
            return await _within(asyncio.wrap_future(started))


async def _within(reading: asyncio.Future[list[Event]]) -> list[Event]:
    try:
        return await asyncio.wait_for(reading, _READ_SECONDS)
    except TimeoutError:
        raise BusyError(f"the body was not read within {_READ_SECONDS:g} s") from None


@dataclass(frozen=True, slots=True)
class _Part:
    """Events as one change: others come between it and the next, the red button too."""

    detector: str
    who: Caller
    events: list[Event]
    peers: Peers
    dry_run: bool


async def _done(ctx: Context, part: _Part) -> tuple[Outcome, Automatic]:
    """What became of it, and under which mode, that of the moment when it is done."""

    spent = 0

    def spend(count: int) -> None:
        """Instead of what was spent before: it is asked for once, however often it is tried."""
        nonlocal spent
        ctx.paces.spend(part.detector, count - spent, time.monotonic())
        spent = count

    def operation(draft: Draft) -> tuple[Outcome, Automatic]:
        spend(0)
        detector, now = part.detector, time.monotonic()
        mode, room = ctx.automatic_for(detector, draft), ctx.paces.room(detector, now)
        tried = draft.copy() if part.dry_run else draft
        settings, known = ctx.settings.automatic, (ctx.controller.hits, part.peers, ctx.returns)
        responder = Responder(tried, settings, detector, mode, part.who, room, *known)
        outcome = responder.take(part.events)
        if not part.dry_run:
            spend(responder.created)
        return outcome, mode

    try:
        return await asyncio.wrap_future(ctx.controller.submit(operation))
    except Exception:
        spend(0)
        raise


async def _peers(ctx: Context) -> Peers:
    """Who is connected; the kernel's tables may be long, so they are not read in the loop."""
    now = ctx.connections.now
    return now() if ctx.connections.fresh else await asyncio.to_thread(now)


def _answer(
    detector: str, mode: Automatic, events: int, outcome: Outcome, dry_run: bool
) -> HookOut:
    return HookOut(
        detector=detector,
        mode=mode,
        events=events,
        rules=list(dict.fromkeys(outcome.rules)),
        released=outcome.released,
        held=outcome.held,
        refused=outcome.refused,
        ignored=outcome.ignored,
        watched=outcome.watched,
        incidents=outcome.incidents,
        dry_run=dry_run,
    )


def _tell(ctx: Context, detector: str, outcome: Outcome) -> None:
    """Somebody should look at a detector that asks for what it may not have."""
    if outcome.refused:
        first = outcome.refused[0]
        title = f"{detector} was refused {len(outcome.refused):,} of what it asked for"
        text = f"{first['what']}: {first['why']}. {first['fix']}\nxdpctl audit log"
        ctx.herald.tell(News(Kind.REFUSED, f"{detector} refused", title, text))
    for one in outcome.watched:
        title = f"{detector}: only watched, {one['why']}"
        text = f"xdpctl list --origin {detector}; xdpctl promote ID drops it all the same"
        ctx.herald.tell(News(Kind.REFUSED, f"{detector} {one['event']} watched", title, text))


def _keep(ctx: Context, detector: str, body: bytes, incidents: list[str]) -> None:
    """What it said, word for word, beside the record; cheaper here than in another thread."""
    at = ctx.controller.clock.read().unix
    try:
        ctx.files.prepare()
        for identity in incidents:
            statements.keep(ctx.files.words(identity), at, detector, body)
    except OSError as error:
        log.warning("what %s said is not kept: %s", detector, error)


def _automatic(ctx: Context) -> AutomaticOut:
    return AutomaticOut(
        mode=ctx.controller.state.automatic,
        configured=ctx.settings.automatic.mode,
        detectors={name: ctx.automatic_for(name) for name in ctx.settings.automatic.adapters},
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
