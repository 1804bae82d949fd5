# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes that let a source pass for a while, whatever detectors report."""

import asyncio
import time

from fastapi import APIRouter
from pydantic import Field

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.state.draft import Draft
from xdpctl.errors import PaceError, RuleError
from xdpctl.mitigation.manual_release import Released, release
from xdpctl.model.identity import Caller, Role
from xdpctl.model.requests import check_seconds
from xdpctl.model.rule import TTL_MAX
from xdpctl.model.shared import key_of
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.auth import Helpdesk
from xdpctl_api.dependencies import Ctx, States
from xdpctl_api.problems import RULE, refusals
from xdpctl_api.routes.rules import answer
from xdpctl_api.shapes.common import Duration, Strict, seconds
from xdpctl_api.shapes.rules import RuleAnswer

router = APIRouter(prefix="/v1", tags=["rules"])


class ReleaseIn(Strict):
    """A source that is to pass, and for how long."""

    source: str
    ttl: Duration = Field(description="How long it passes; 1h")
    ticket: str = Field(
        default="", max_length=40, description="Number of the ticket; a help desk must give it"
    )
    reason: str = ""


class ReleaseOut(RuleAnswer):
    """The accept rule that stands now."""

    removed: int = Field(description="Rules of detectors that the release removed")


def _spend(ctx: ControlPlane, who: Caller) -> None:
    """PaceError if a help desk releases too many sources a minute."""
    now, limits = time.monotonic(), ctx.pools.helpdesk
    if not limits.room(who.name, now):
        raise PaceError(f"{who.name} releases more than {limits.most} sources a minute")
    limits.spend(who.name, 1, now)


@router.post("/releases", status_code=201, responses=refusals(*RULE, PaceError))
async def release_source(body: ReleaseIn, who: Helpdesk, ctx: Ctx, states: States) -> ReleaseOut:
    """Accept a source for a while. In that time no detector can drop it, nor a part of it.

    A token of role `helpdesk` may do so for a single address or an IPv6 /64, for ten minutes to an
    hour, with a ticket.
    """
    who.require_unbound()
    source, ttl = parse_prefix(body.source, "source"), seconds(body.ttl, "ttl")
    if ttl is None:
        raise RuleError("no ttl", "ttl", "say how long it passes: 1h")
    check_seconds(ttl, "ttl", TTL_MAX)
    lasting, hits = float(ttl), ctx.controller.hits
    if who.role is Role.HELPDESK:
        _spend(ctx, who)

    def operation(draft: Draft) -> Released:
        return release(draft, source, lasting, who, hits, body.reason, body.ticket)

    change = ctx.controller.change_by(who)
    released = await asyncio.wrap_future(ctx.controller.submit(operation, change, states.scope))
    out = answer(ctx, released.added, change)
    out.fleet = await states.where(change, [key_of(released.added.rule)])
    return ReleaseOut(**out.model_dump(), removed=released.removed)
