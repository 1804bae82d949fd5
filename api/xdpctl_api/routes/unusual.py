# SPDX-License-Identifier: GPL-2.0-or-later
"""What is unusual in the traffic now, and what is proposed about it."""

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter

from xdpctl.abi.constants import Reason
from xdpctl.errors import BusyError, RuleError
from xdpctl.model.match.words import in_words
from xdpctl.model.rate import Rate, does
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.traffic.baseline import BEFORE_MAX
from xdpctl.traffic.proposal import propose
from xdpctl.traffic.suggest import Suggestion, suggest
from xdpctl.watch.waiting import Waiting
from xdpctl_api.auth import Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals
from xdpctl_api.routes.traffic import window_of
from xdpctl_api.shapes.common import seconds as seconds_of
from xdpctl_api.shapes.matches import limit_out
from xdpctl_api.shapes.monitor import statistics_out
from xdpctl_api.shapes.rules import rule_out
from xdpctl_api.shapes.traffic import (
    ConditionOut,
    SuggestIn,
    SuggestionOut,
    SuggestOut,
    WaitingOut,
    waiting_out,
)

router = APIRouter(prefix="/v1", tags=["traffic"])


@router.post("/suggest", responses=refusals(RuleError, BusyError))
async def suggest_matches(who: Viewer, ctx: Ctx, body: SuggestIn) -> SuggestOut:
    """Matches for traffic that has grown, among the packets that no rule decided."""
    window = window_of(seconds_of(body.window, "window") or 0.0)
    ago = seconds_of(body.before, "before") or 0.0
    if not 600 <= ago <= BEFORE_MAX:
        fix = f"give 10m to {BEFORE_MAX / 3600:g}h"
        raise RuleError(f"{body.before} ago is out of range", "before", fix)
    return await ctx.pools.looks.run(lambda: _suggest(ctx, window, ago))


@router.get("/condition", responses=refusals(BusyError))
async def read_condition(who: Viewer, ctx: Ctx) -> ConditionOut:
    """Whether attacks are held, in one word, with matches of unusual traffic that passes."""
    look, condition = await ctx.pools.looks.run(ctx.health.condition)
    return ConditionOut(
        state=condition.state,
        reasons=list(condition.reasons),
        seconds=look.seconds,
        sampled=look.sampled,
        before_seconds=look.compared,
        waiting=await asyncio.to_thread(_waiting, ctx, condition.waiting),
        matches=[_suggestion(suggestion, ctx) for suggestion in look.matches],
    )


def _waiting(ctx: ControlPlane, rules: Sequence[Waiting]) -> list[WaitingOut]:
    """Rules that wait for a decision, with their rates and statistics."""
    now, controller = ctx.controller.clock.read(), ctx.controller
    return [
        waiting_out(
            rule_out(ctx, each.rule, now),
            each,
            statistics_out(controller, controller.statistics(each.rule)),
        )
        for each in rules
    ]


def _suggest(ctx: ControlPlane, window: float, ago: float) -> SuggestOut:
    recent = ctx.sampler.window.last(window)
    packets = recent.packets[recent.packets["reason"] == Reason.NO_RULE]
    before = ctx.sampler.baseline.ago(recent.ended, ago)
    suggestions = suggest(packets, recent.seconds, before)
    return SuggestOut(
        seconds=recent.seconds,
        sampled=len(packets),
        before_seconds=before.seconds,
        before_sampled=len(before.packets),
        matches=[_suggestion(suggestion, ctx) for suggestion in suggestions],
    )


def _suggestion(suggestion: Suggestion, ctx: ControlPlane) -> SuggestionOut:
    proposal = propose(suggestion, bool(ctx.settings.outside_interfaces))
    limit = Rate(pps=proposal.pps) if proposal.pps else None
    return SuggestionOut(
        action=proposal.action,
        does=does(proposal.action, limit),
        limit=limit_out(limit) if limit else None,
        match=str(suggestion.match),
        words=ctx.names.tell(in_words(suggestion.match)),
        packets=suggestion.packets,
        bits=suggestion.bits,
        share=suggestion.share,
        error=suggestion.error,
        before=suggestion.before,
        before_error=suggestion.before_error,
        before_packets=suggestion.before_packets,
    )
