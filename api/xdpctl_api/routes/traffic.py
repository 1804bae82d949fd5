# SPDX-License-Identifier: GPL-2.0-or-later
"""What the traffic is now, from sampled packets."""

from collections.abc import Iterable
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query

from xdpctl.base.durations import parse_duration
from xdpctl.base.net.interfaces import interface_name
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.capture import choose
from xdpctl.control.rule_hits import SlotNames
from xdpctl.errors import BusyError, NotFoundError, RuleError
from xdpctl.model.match import text
from xdpctl.model.match.components import BY_WORD
from xdpctl.model.match.match import Match
from xdpctl.model.naming import Names
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.series.minutes import LEVEL
from xdpctl.traffic.dimensions import DIMENSIONS, Dimension, dimension, named
from xdpctl.traffic.packets import PacketArray
from xdpctl.traffic.top import Top, top, without_matches
from xdpctl.traffic.window import SECONDS_MAX, Seen
from xdpctl_api.auth import Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals
from xdpctl_api.shapes.common import CHOSEN, timestamp
from xdpctl_api.shapes.traffic import (
    DimensionOut,
    RecordedOut,
    RowOut,
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
        str,
        Query(
            description="drop, pass, all, or a reason such as limited",
            json_schema_extra=CHOSEN,
        ),
    ] = "all",
    window: Annotated[str, Query(description=f"How far back: 1s to {SECONDS_MAX:g}s")] = "10s",
    where: Annotated[
        str | None,
        Query(description="Only packets of this match", examples=["dst 198.51.100.7 proto udp"]),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=_ROWS_MAX, description="Rows of each dimension")] = 10,
    out: Annotated[
        bool,
        Query(
            description="What leaves through outside interfaces. It has no verdict, reason and "
            "rule, and its rows have no match"
        ),
    ] = False,
) -> TrafficOut:
    """The most frequent values of some dimensions in the traffic of the last seconds."""
    reasons = choose(verdict)
    seconds = window_of(parse_duration(window, "window"))
    match = _where(where) if where else None
    dimensions = _dimensions(ctx, by)
    if out:
        _refuse_of_out(verdict, dimensions)

    def work() -> TrafficOut:
        recent = (ctx.sampler.out if out else ctx.sampler.window).last(seconds)
        chosen = recent.packets
        if not out:
            chosen = chosen[np.isin(chosen["reason"], list(reasons))]
        tops = _tops(chosen, recent, dimensions, match, limit)
        if out:
            tops = {name: without_matches(ranking) for name, ranking in tops.items()}
        return _answer(ctx.names, recent, tops)

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
    minute = await ctx.pools.looks.run(lambda: ctx.minutes.read(at))
    if minute is None:
        raise NotFoundError(f"nothing was recorded {ago} ago")
    tops = minute["tops"]
    first: dict[str, Any] = next(iter(tops.values()))
    fields = ("value", "packets", "bits", "share", "error", "match")
    return RecordedOut(
        at=timestamp(at // LEVEL.seconds * LEVEL.seconds),
        seconds=minute["seconds"],
        sampled=first["sampled"],
        missing=minute["missing"],
        packets=first["packets"],
        bits=first["bits"],
        dimensions=[
            DimensionOut(
                by=name,
                without=ranking["without"],
                rows=[RowOut(**dict(zip(fields, row, strict=True))) for row in ranking["rows"]],
            )
            for name, ranking in tops.items()
        ],
    )


def window_of(seconds: float) -> float:
    """The seconds of a window; RuleError if it is out of range."""
    if not 1 <= seconds <= SECONDS_MAX:
        fix = f"give 1s to {SECONDS_MAX:g}s"
        raise RuleError(f"a window of {seconds:g} s is out of range", "window", fix)
    return seconds


def _refuse_of_out(verdict: str, dimensions: Iterable[str]) -> None:
    """RuleError if what leaves has no such property."""
    if verdict != "all":
        raise RuleError("what leaves has no verdict", "verdict", "leave it out")
    for name in ("reason", "rule"):
        if name in dimensions:
            raise RuleError(f"what leaves has no {name}", "by", f"leave {name} out")


def _where(expression: str) -> Match:
    """The match in the parameter `where`."""
    try:
        return text.parse(expression)
    except RuleError as error:
        raise RuleError(str(error), "where", error.fix) from None


def _dimensions(ctx: ControlPlane, by: str) -> dict[str, Dimension]:
    """The dimensions by name; RuleError for one that does not exist, or too many."""
    names = [name.strip().lower() for name in by.split(",")]
    available = DIMENSIONS | ctx.places.dimensions
    normalised = [name if name in BY_WORD else name.replace("-", "_") for name in names]
    dimensions = {name.replace("-", "_"): dimension(name, available) for name in normalised}
    if len(names) > _DIMENSIONS_MAX:
        fix = f"ask for at most {_DIMENSIONS_MAX} at a time"
        raise RuleError(f"these are {len(names)} dimensions", "by", fix)
    if "rule" in dimensions:
        slots = SlotNames(ctx.controller.state)
        dimensions["rule"] = named(dimensions["rule"], lambda slot: slots.name(slot) or "none")
    if "interface" in dimensions:
        dimensions["interface"] = named(dimensions["interface"], interface_name)
    return dimensions


def _tops(
    packets: PacketArray,
    recent: Seen,
    dimensions: dict[str, Dimension],
    where: Match | None,
    limit: int,
) -> dict[str, Top]:
    return {name: top(packets, recent.seconds, by, limit, where) for name, by in dimensions.items()}


def _name(names: Names, value: str) -> str:
    """The name of a host or network; empty for values of other dimensions, and without a name."""
    try:
        return names.of(parse_prefix(value))
    except RuleError:
        return ""


def _answer(names: Names, recent: Seen, tops: dict[str, Top]) -> TrafficOut:
    first = next(iter(tops.values()))
    return TrafficOut(
        seconds=recent.seconds,
        sampled=first.sampled,
        missing=recent.missing,
        packets=first.packets,
        bits=first.bits,
        dimensions=[
            DimensionOut(
                by=name,
                without=ranking.without,
                rows=[
                    RowOut(
                        value=row.value,
                        name=_name(names, row.value),
                        packets=row.packets,
                        bits=row.bits,
                        share=row.share,
                        error=row.error,
                        match=str(row.match) if row.match else None,
                    )
                    for row in ranking.rows
                ],
            )
            for name, ranking in tops.items()
        ],
    )
