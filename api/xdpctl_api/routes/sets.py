# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets: replace, read, change, refresh, sample, remove."""

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from xdpctl.base.net.prefix_arrays import FAMILIES
from xdpctl.control.operations import sets
from xdpctl.control.operations.sets import Changed
from xdpctl.control.set_samples import watch
from xdpctl.control.state.draft import Draft
from xdpctl.errors import (
    BusyError,
    CapacityError,
    ConflictError,
    DatapathError,
    FetchError,
    NotFoundError,
    RuleError,
    StaleError,
)
from xdpctl.model.effect import Mode
from xdpctl.model.source_set import NOTHING, SourceSet
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.auth import Operator, Viewer
from xdpctl_api.dependencies import Ctx, Stating
from xdpctl_api.problems import GUARDED, UNCHANGED, refusals, streamed
from xdpctl_api.routes.rules import IfMatch, named_etag
from xdpctl_api.set_replacement import JSON, replace_set
from xdpctl_api.shapes.imports import RejectOut
from xdpctl_api.shapes.monitor import TopEntry, TopOut, TopSource, statistics_out
from xdpctl_api.shapes.set_requests import ListQuery, SetChange
from xdpctl_api.shapes.sets import SetAnswer, SetList, SetOut, senders_out, set_out

router = APIRouter(prefix="/v1/sets", tags=["sets"])
_TEXT = {"schema": {"type": "string", "format": "binary"}}
_BODIES = {
    JSON: {"schema": {"$ref": "#/components/schemas/SetIn"}},
    # a generated client that cannot tell the formats apart takes the last one
    **dict.fromkeys(("application/gzip", "application/x-ndjson", "text/csv", "text/plain"), _TEXT),
}
_PAGE = 20_000
_PLAIN = "text/plain; charset=utf-8"
_PUT = (StaleError, *GUARDED, FetchError, CapacityError)
_HELD = (NotFoundError, StaleError, *GUARDED)


def _find(ctx: ControlPlane, name: str) -> SourceSet:
    state = ctx.controller.state
    return sets.find(Draft(state, ctx.controller.clock.read()), name)


@router.get("")
async def list_sets(who: Viewer, ctx: Ctx) -> SetList:
    """List all sets, by name."""
    ordered = sorted(ctx.controller.state.sets.values(), key=lambda source_set: source_set.name)
    return SetList(sets=[SetOut(**set_out(ctx, source_set)) for source_set in ordered])


@router.get("/{name}", responses=refusals(NotFoundError, DatapathError))
async def read_set(name: str, who: Viewer, ctx: Ctx, response: Response) -> SetOut:
    """One set, with its size, counters and feed."""
    source_set = _find(ctx, name)
    response.headers.update({"ETag": f'"{source_set.etag}"', "Cache-Control": "no-store"})
    monitored = source_set.mode is Mode.MONITOR
    statistics = ctx.controller.datapath.statistics(source_set.slot) if monitored else None
    return SetOut(
        **set_out(ctx, source_set),
        statistics=statistics_out(ctx.controller, statistics),
        senders=await asyncio.to_thread(senders_out, ctx, source_set),
    )


@router.get(
    "/{name}/entries",
    response_class=Response,
    responses={
        200: streamed(_PLAIN, "One prefix a line", binary=False),
        **UNCHANGED,
        **refusals(NotFoundError),
    },
)
async def read_entries(name: str, who: Viewer, ctx: Ctx) -> StreamingResponse:
    """The prefixes of a set, one per line, in the format that PUT accepts."""
    held = _find(ctx, name)
    entries = ctx.controller.state.entries.get(name, NOTHING)

    def lines() -> Iterator[bytes]:
        for number, family in FAMILIES.items():
            for first in range(0, len(entries[number]), _PAGE):
                page = family.prefixes(entries[number][first : first + _PAGE])
                yield "".join(f"{prefix}\n" for prefix in page).encode()

    etag = {"ETag": f'"{held.etag}"'}
    return StreamingResponse(lines(), media_type=_PLAIN, headers=etag)


@router.put(
    "/{name}",
    response_model=SetAnswer,
    responses={201: {"model": SetAnswer, "description": "It is new"}, **refusals(*_PUT)},
    openapi_extra={"requestBody": {"required": True, "content": _BODIES}},
)
async def put_set(
    name: str,
    request: Request,
    who: Operator,
    ctx: Ctx,
    query: Annotated[ListQuery, Query()],
    if_match: IfMatch = None,
) -> Response:
    """Create a set, or replace the list of an existing one, without a gap in filtering.

    The body is the list (plain, CSV, NDJSON, JSON with `?format=json`; or gzip of these), or a JSON
    document with `prefixes` or a `feed`. 201 or 200 once it is durable and in the kernel; after an
    error, the old set is unchanged. `action`, `mode` and `reason` are unchanged where they are not
    given; a feed is removed unless it is given again.
    """
    states = Stating(ctx, query.scope, query.wait)
    out = await replace_set(ctx, name, who, request, query, named_etag(if_match), states.scope)
    if not out.dry_run and out.changed:
        out.fleet = await states.where(out.change, [f"sets/{name}"])
    headers = {"Location": f"/v1/sets/{name}", "ETag": f'"{out.etag}"'}
    status = 201 if out.created and not out.dry_run else 200
    return Response(out.model_dump_json(), status, headers, JSON)


@router.patch("/{name}", responses=refusals(*_HELD, CapacityError))
async def change_set(
    name: str, body: SetChange, who: Operator, ctx: Ctx, if_match: IfMatch = None
) -> SetOut:
    """Change mode, spare, reason or refresh; the mode changes for all entries at once."""
    etag = named_etag(if_match)

    def operation(draft: Draft) -> Changed:
        fields = body.model_fields_set - {"refresh", "force"}
        changes: dict[str, Any] = body.model_dump(include=fields)
        if body.refresh is not None:  # the interval of the feed that the set has by then
            source_set = sets.find(draft, name)
            changes["feed"] = ctx.refresher.source.every(source_set, body.refresh)
        return sets.change(draft, name, changes, who, etag)

    change = ctx.controller.change_by(who, body.force)
    changed = (await asyncio.wrap_future(ctx.controller.submit(operation, change))).set
    ctx.refresher.reschedule(changed)
    return SetOut(**set_out(ctx, changed))


@router.delete("/{name}", responses=refusals(*_HELD))
async def remove_set(
    name: str, who: Operator, ctx: Ctx, if_match: IfMatch = None, force: bool = False
) -> SetOut:
    """Remove a set, with all entries at once; the answer is the set as it was.

    `force` is needed if most of this host's connections would be cut off without the set.
    """
    source_set = _find(ctx, name)
    last = set_out(ctx, source_set)
    hits = {"packets": last["packets"], "bytes": last["bytes"]}
    etag = named_etag(if_match)
    future = ctx.controller.submit(
        lambda draft: sets.remove(draft, name, who, etag, hits),
        ctx.controller.change_by(who, force),
    )
    await asyncio.wrap_future(future)
    ctx.refresher.attempts.pop(name, None)
    return SetOut(**last)


@router.post("/{name}/refresh", responses=refusals(RuleError, NotFoundError, *_PUT))
async def refresh_set(name: str, who: Operator, ctx: Ctx, force: bool = False) -> SetAnswer:
    """Refresh the feed of a set now; `force` also accepts a list that shrank by more than half."""
    source_set = _find(ctx, name)
    if source_set.feed is None:
        raise RuleError(f"the set {name} has no feed", "name", "PUT a new list instead")
    look = ctx.pools.fetches.start(lambda: ctx.refresher.refresh(source_set, force))
    refreshed = await asyncio.wrap_future(look)
    return SetAnswer(
        **set_out(ctx, _find(ctx, name)),
        created=False,
        changed=refreshed.changed is not None,
        dry_run=False,
        rejects=[RejectOut(**reject) for reject in refreshed.rejects],
        warnings=refreshed.changed.warnings if refreshed.changed else [],
    )


@router.get("/{name}/top", responses=refusals(RuleError, NotFoundError, ConflictError, BusyError))
async def top_entries(
    name: str,
    who: Viewer,
    ctx: Ctx,
    seconds: Annotated[float, Query(gt=0, le=60)] = 5.0,
    every: Annotated[int, Query(ge=1, le=65536, description="A power of two")] = 64,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> TopOut:
    """Sample one in `every` packets for `seconds`; returns entries and sources with most hits."""
    if every & (every - 1):
        raise RuleError(f"{every} is not a power of two", "every", "give 1, 2, 4, 8, ... 65536")
    source_set = _find(ctx, name)
    if source_set.out:
        raise RuleError(
            f"outgoing packets are not sampled, and {name} is an out set",
            "name",
            "GET the set: `senders` says who sends to it (xdpctl set list NAME)",
        )
    entries = ctx.controller.state.entries.get(name, NOTHING)
    datapath = ctx.controller.datapath
    watching = ctx.pools.watches.start(
        lambda: watch(datapath, source_set.slot, entries, seconds, every, limit)
    )
    top = await asyncio.wrap_future(watching)

    def numbers(count: int) -> dict[str, Any]:
        return {"packets": count * top.every, "share": count / top.samples}

    return TopOut(
        seconds=top.seconds,
        every=top.every,
        samples=top.samples,
        entries=[TopEntry(prefix=str(prefix), **numbers(hits)) for prefix, hits in top.entries],
        sources=[TopSource(source=str(prefix), **numbers(hits)) for prefix, hits in top.sources],
    )
