# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures over time."""

from typing import Annotated

from fastapi import APIRouter, Query

from xdpctl.base.durations import parse_duration
from xdpctl.errors import BusyError, NotFoundError, RuleError
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.series.figures import known
from xdpctl.series.levels import LEVELS, Levels, Read
from xdpctl.series.recorder import HOST
from xdpctl.series.ring_file import Values
from xdpctl.series.usual import usual as usually
from xdpctl_api.auth import Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals
from xdpctl_api.shapes.common import timestamp
from xdpctl_api.shapes.traffic import SeriesOut, SeriesValues

router = APIRouter(prefix="/v1/series", tags=["traffic"])
_POINTS_MAX = 4_000
_NAMES_MAX = 16
_USUAL_MOST = 14 * 86_400


@router.get("", responses=refusals(RuleError, NotFoundError, BusyError))
async def read_series(
    who: Viewer,
    ctx: Ctx,
    names: Annotated[
        str, Query(description="Names of figures, with commas between; an unknown one lists all")
    ] = "pass_packets,drop_packets",
    since: Annotated[str, Query(description="How long ago it begins: 60s, 6h, 400d")] = "10m",
    until: Annotated[str, Query(description="How long ago it ends")] = "0s",
    points: Annotated[int, Query(ge=1, le=_POINTS_MAX, description="Rows at most")] = 600,
    interface: Annotated[
        str | None, Query(description="Only this interface; default: all together")
    ] = None,
    usual: Annotated[
        bool, Query(description="Adds what is usual at this time of the week")
    ] = False,
) -> SeriesOut:
    """Averages and maxima of recorded figures; null where nothing was recorded."""
    begins, ends = _span(since, until, LEVELS[-1].span if not usual else _USUAL_MOST)
    series = _recorded(ctx, HOST if interface is None else interface)
    places = _columns(series, names)
    now = ctx.controller.clock.read().unix
    columns, since_unix = list(places.values()), max(now - begins, 0.0)

    def read() -> tuple[Read, tuple[Values, Values] | None]:
        recorded = series.read(since_unix, max(now - ends, since_unix), points, columns)
        return recorded, usually(series, recorded, columns) if usual else None

    try:
        recorded, extremes = await ctx.pools.looks.run(read)
    except OSError as error:  # the interface has just been removed, and its files with it
        raise NotFoundError(f"the figures cannot be read: {error.strerror}") from error
    return SeriesOut(
        since=timestamp(recorded.since),
        seconds=recorded.seconds,
        figures={name: _values(recorded, extremes, n) for n, name in enumerate(places)},
    )


def _span(since: str, until: str, most: float) -> tuple[float, float]:
    """How many seconds ago it begins and ends; RuleError if that is out of range."""
    begins, ends = parse_duration(since, "since"), parse_duration(until, "until")
    if not ends < begins <= most:
        fix = f"give more than until ({until}), and at most {LEVELS[-1].span // 86_400}d"
        fix += f" ({_USUAL_MOST // 86_400}d with usual)" if most == _USUAL_MOST else ""
        raise RuleError(f"since {since} is out of range", "since", fix)
    return begins, ends


def _values(recorded: Read, usual: tuple[Values, Values] | None, column: int) -> SeriesValues:
    """A column of what was read, with its usual range if that was asked for."""
    low, high = (known(of[:, column]) for of in usual) if usual else (None, None)
    return SeriesValues(
        averages=known(recorded.averages[:, column]),
        maxima=known(recorded.maxima[:, column]),
        usual_low=low,
        usual_high=high,
    )


def _recorded(ctx: ControlPlane, interface: str) -> Levels:
    series = ctx.series.series
    if interface in series:
        return series[interface]
    if not series:
        raise NotFoundError(
            ctx.series.problem
            or "no figures are recorded: set series = true and start again, or wait a second"
        )
    names = ", ".join(sorted(name for name in series if name)) or "none"
    raise NotFoundError(f"there are no figures of an interface {interface[:40]!r}, only of {names}")


def _columns(series: Levels, names: str) -> dict[str, int]:
    """The column of each name; RuleError for a name that is not known, or too many."""
    chosen = [name.strip() for name in names.split(",")]
    places = {name: place for place, name in enumerate(series.columns)}
    for name in chosen:
        if name not in places:
            fix = f"use some of {', '.join(places)}"
            raise RuleError(f"there is no figure {name[:40]!r}", "names", fix)
    if len(chosen) > _NAMES_MAX:
        raise RuleError(f"these are {len(chosen)} names", "names", f"give at most {_NAMES_MAX}")
    return {name: places[name] for name in chosen}
