# SPDX-License-Identifier: GPL-2.0-or-later
"""What the traffic is now, from sampled packets."""

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query

from xdpctl.abi.constants import Reason
from xdpctl.base.durations import parse_duration
from xdpctl.base.net.interfaces import interface_name
from xdpctl.control.capture import choose
from xdpctl.control.rule_hits import SlotNames
from xdpctl.errors import BusyError, NotFoundError, RuleError
from xdpctl.model.match import text
from xdpctl.model.match.components import BY_WORD
from xdpctl.model.match.match import Match
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.series.minutes import LEVEL
from xdpctl.traffic.baseline import BEFORE_MAX
from xdpctl.traffic.dimensions import DIMENSIONS, Dimension, dimension, named
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.suggest import Suggestion, suggest
from xdpctl.traffic.top import Top, top
from xdpctl.traffic.window import SECONDS_MAX, Seen
from xdpctl_api.auth import Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals
from xdpctl_api.shapes.common import seconds as seconds_of
from xdpctl_api.shapes.common import timestamp
from xdpctl_api.shapes.traffic import (
    ConditionOut,
    DimensionOut,
    RecordedOut,
    RowOut,
    SuggestIn,
    SuggestionOut,
    SuggestOut,
    TrafficOut,
)

router = APIRouter(prefix="/v1", tags=["traffic"])
_DIMENSIONS_MAX, _ROWS_MAX = 8, 100
_NAMES = (*DIMENSIONS, "as", "country")


@router.get("/top", responses=refusals(RuleError, BusyError))
async def top_traffic(
    who: Viewer,
    ctx: Ctx,
    by: Annotated[
        str,
        Query(description=f"Dimensions, with commas between: {', '.join(_NAMES)}"),
    ] = "destination,source_port",
    verdict: Annotated[
        str, Query(description="drop, pass, all, or a reason such as limited")
    ] = "all",
    window: Annotated[str, Query(description=f"How far back: 1s to {SECONDS_MAX:g}s")] = "10s",
    where: Annotated[
        str | None,
        Query(description="Only packets of this match", examples=["dst 198.51.100.7 proto udp"]),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=_ROWS_MAX, description="Rows of each dimension")] = 10,
) -> TrafficOut:
    """The most frequent values of some dimensions in the traffic of the last seconds."""
    reasons = choose(verdict)
    seconds = _window(parse_duration(window, "window"))
    match = _where(where) if where else None
    dimensions = _dimensions(ctx, by)

    def work() -> TrafficOut:
        seen = ctx.sampler.window.last(seconds)
        chosen = seen.packets[np.isin(seen.packets["reason"], list(reasons))]
        return _answer(seen, _tops(chosen, seen, dimensions, match, limit))

    return await ctx.pools.looks.run(work)


@router.get("/top/minute", responses=refusals(RuleError, NotFoundError, BusyError))
async def recorded_top(
    who: Viewer,
    ctx: Ctx,
    ago: Annotated[str, Query(description="How long ago: 1m to 24h")],
) -> RecordedOut:
    """The top lists of a minute of the last day, as they were recorded."""
    seconds = parse_duration(ago, "ago")
    if not LEVEL.seconds <= seconds <= LEVEL.span:
        raise RuleError(f"{ago} ago is out of range", "ago", f"give 1m to {LEVEL.span // 3600}h")
    at = ctx.controller.clock.read().unix - seconds
    found = await ctx.pools.looks.run(lambda: ctx.minutes.read(at))
    if found is None:
        raise NotFoundError(f"nothing was recorded {ago} ago")
    tops = found["tops"]
    first: dict[str, Any] = next(iter(tops.values()))
    fields = ("value", "packets", "bits", "share", "error", "match")
    return RecordedOut(
        at=timestamp(at // LEVEL.seconds * LEVEL.seconds),
        seconds=found["seconds"],
        sampled=first["sampled"],
        missing=found["missing"],
        packets=first["packets"],
        bits=first["bits"],
        dimensions=[
            DimensionOut(
                by=name,
                without=each["without"],
                rows=[RowOut(**dict(zip(fields, row, strict=True))) for row in each["rows"]],
            )
            for name, each in tops.items()
        ],
    )


@router.post("/suggest", responses=refusals(RuleError, BusyError))
async def suggest_matches(who: Viewer, ctx: Ctx, body: SuggestIn) -> SuggestOut:
    """Matches for what is more than it was, among the packets that no rule decided."""
    window = _window(seconds_of(body.window, "window") or 0.0)
    ago = seconds_of(body.before, "before") or 0.0
    if not 600 <= ago <= BEFORE_MAX:
        fix = f"give 10m to {BEFORE_MAX / 3600:g}h"
        raise RuleError(f"{body.before} ago is out of range", "before", fix)
    return await ctx.pools.looks.run(lambda: _suggest(ctx, window, ago))


@router.get("/condition", responses=refusals(BusyError))
async def read_condition(who: Viewer, ctx: Ctx) -> ConditionOut:
    """Whether what attacks is held, in one word, with matches of what passes and is unusual."""
    look, found = await ctx.pools.looks.run(ctx.health.condition)
    return ConditionOut(
        state=found.state,
        reasons=list(found.reasons),
        seconds=look.seconds,
        sampled=look.sampled,
        before_seconds=look.compared,
        matches=[_suggestion(each) for each in look.matches],
    )


def _suggest(ctx: ControlPlane, window: float, ago: float) -> SuggestOut:
    seen = ctx.sampler.window.last(window)
    packets = seen.packets[seen.packets["reason"] == Reason.NO_RULE]
    before = ctx.sampler.baseline.ago(seen.ended, ago)
    found = suggest(packets, seen.seconds, before)
    return SuggestOut(
        seconds=seen.seconds,
        sampled=len(packets),
        before_seconds=before.seconds,
        before_sampled=len(before.packets),
        matches=[_suggestion(each) for each in found],
    )


def _suggestion(found: Suggestion) -> SuggestionOut:
    return SuggestionOut(
        match=str(found.match),
        packets=found.packets,
        bits=found.bits,
        share=found.share,
        error=found.error,
        before=found.before,
        before_error=found.before_error,
        before_packets=found.before_packets,
    )


def _window(seconds: float) -> float:
    """The seconds of a window; RuleError if it is out of range."""
    if not 1 <= seconds <= SECONDS_MAX:
        fix = f"give 1s to {SECONDS_MAX:g}s"
        raise RuleError(f"a window of {seconds:g} s is out of range", "window", fix)
    return seconds


def _where(given: str) -> Match:
    """The match in the parameter `where`."""
    try:
        return text.parse(given)
    except RuleError as error:
        raise RuleError(str(error), "where", error.fix) from None


def _dimensions(ctx: ControlPlane, by: str) -> dict[str, Dimension]:
    """The dimensions by name; RuleError for one that does not exist, or too many."""
    names = [name.strip().lower() for name in by.split(",")]
    known = DIMENSIONS | ctx.places.dimensions
    given = [name if name in BY_WORD else name.replace("-", "_") for name in names]
    found = {name.replace("-", "_"): dimension(name, known) for name in given}
    if len(names) > _DIMENSIONS_MAX:
        fix = f"ask for at most {_DIMENSIONS_MAX} at a time"
        raise RuleError(f"these are {len(names)} dimensions", "by", fix)
    if "rule" in found:
        slots = SlotNames(ctx.controller.state)
        found["rule"] = named(found["rule"], lambda slot: slots.name(slot) or "none")
    if "interface" in found:
        found["interface"] = named(found["interface"], interface_name)
    return found


def _tops(
    packets: PacketArray,
    seen: Seen,
    dimensions: dict[str, Dimension],
    where: Match | None,
    limit: int,
) -> dict[str, Top]:
    return {name: top(packets, seen.seconds, by, limit, where) for name, by in dimensions.items()}


def _answer(seen: Seen, found: dict[str, Top]) -> TrafficOut:
    first = next(iter(found.values()))
    return TrafficOut(
        seconds=seen.seconds,
        sampled=first.sampled,
        missing=seen.missing,
        packets=first.packets,
        bits=first.bits,
        dimensions=[
            DimensionOut(
                by=name,
                without=each.without,
                rows=[
                    RowOut(
                        value=row.value,
                        packets=row.packets,
                        bits=row.bits,
                        share=row.share,
                        error=row.error,
                        match=str(row.match) if row.match else None,
                    )
                    for row in each.rows
                ],
            )
            for name, each in found.items()
        ],
    )
