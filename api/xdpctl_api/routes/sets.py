"""Sets: put as a whole, read, change, refresh, watch, remove."""

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

import pydantic
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, StreamingResponse

from xdpctl.draft import Draft
from xdpctl.errors import RuleError
from xdpctl.feeds import Feed
from xdpctl.model import check_name
from xdpctl.sets import operations
from xdpctl.sets.model import NOTHING, FeedSource, SourceSet
from xdpctl.sets.operations import Changed, SetAsk
from xdpctl.sets.prepare import prepare
from xdpctl.sets.top import watch
from xdpctl.table.family import FAMILIES
from xdpctl.tokens import Caller
from xdpctl_api.auth import Operator, Viewer
from xdpctl_api.bodies import read_all
from xdpctl_api.context import Context, context
from xdpctl_api.routes.rules import IfMatch, named_etag
from xdpctl_api.sets import Choices, ListQuery, SetAnswer, SetChange, SetIn, SetOut, TopOut, set_out

router = APIRouter(prefix="/v1/sets", tags=["sets"])
Ctx = Annotated[Context, Depends(context)]
_JSON = "application/json"
_TEXT = {"schema": {"type": "string", "format": "binary"}}
_BODIES = {
    _JSON: {"schema": SetIn.model_json_schema()},
    **dict.fromkeys(("text/plain", "text/csv", "application/x-ndjson", "application/gzip"), _TEXT),
}
_PAGE = 20_000


def _find(ctx: Context, name: str) -> SourceSet:
    state = ctx.controller.state
    return operations.find(Draft(state, ctx.controller.clock.read()), name)


@router.get("")
async def list_sets(who: Viewer, ctx: Ctx) -> dict[str, list[SetOut]]:
    """Every set, by name."""
    held = sorted(ctx.controller.state.sets.values(), key=lambda each: each.name)
    return {"sets": [SetOut(**set_out(ctx, each)) for each in held]}


@router.get("/{name}")
async def read_set(name: str, who: Viewer, ctx: Ctx, response: Response) -> SetOut:
    """One set: what it is, how large, what it hit, where it comes from."""
    held = _find(ctx, name)
    response.headers["ETag"] = f'"{held.etag}"'
    return SetOut(**set_out(ctx, held))


@router.get("/{name}/entries", response_class=PlainTextResponse)
async def read_entries(name: str, who: Viewer, ctx: Ctx) -> StreamingResponse:
    """Its prefixes, one a line, as PUT takes them."""
    _find(ctx, name)
    entries = ctx.controller.state.entries.get(name, NOTHING)

    def lines() -> Iterator[bytes]:
        for number, family in FAMILIES.items():
            for first in range(0, len(entries[number]), _PAGE):
                page = family.prefixes(entries[number][first : first + _PAGE])
                yield "".join(f"{prefix}\n" for prefix in page).encode()

    return StreamingResponse(lines(), media_type="text/plain; charset=utf-8")


class _Put:
    """One PUT: the choices, and the list when it has been read."""

    def __init__(self, ctx: Context, name: str, who: Caller, choices: Choices) -> None:
        self.ctx, self.name, self.who, self.choices = ctx, check_name(name, "name"), who, choices
        self.feed: FeedSource | None = None

    def listed(self, data: bytes, format: str, column: str) -> Feed:
        return self.ctx.refresher.loader.parse(data, format, column)

    def of_json(self, body: SetIn) -> Feed:
        if (body.prefixes is None) == (body.feed is None):
            raise RuleError("neither or both of prefixes and feed", "prefixes", "give one of them")
        if body.feed is None:
            if not body.prefixes:
                return Feed(dict(NOTHING), 0, 0, 0, [])
            return self.listed("\n".join(body.prefixes).encode(), "plain", "")
        source = body.feed.source()
        self.ctx.refresher.loader.check(source)
        loaded = self.ctx.refresher.loader.load(source)
        assert loaded  # without validators there is always an answer
        listed, self.feed = loaded
        return listed

    def ask(self, listed: Feed) -> SetAsk:
        choices, state = self.choices, self.ctx.controller.state
        entries, counts = prepare(state, self.name, listed, choices.action, choices.options)
        return SetAsk(
            name=self.name,
            entries=entries,
            action=choices.action,
            mode=choices.mode,
            reason=choices.reason,
            feed=self.feed,
            options=choices.options,
            force=choices.force,
            counts=counts,
        )

    async def make(self, ask: SetAsk, etag: str | None) -> Changed:
        def operation(draft: Draft) -> Changed:
            held = draft.copy() if self.choices.dry_run else draft
            return operations.put(held, ask, self.who, etag)

        return await asyncio.wrap_future(self.ctx.controller.submit(operation))


@router.put(
    "/{name}",
    response_model=SetAnswer,
    responses={201: {"model": SetAnswer}},
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
    """A new set, or another list for the one of that name, without a gap.

    The body is the list (plain, CSV, NDJSON, JSON with `?format=json`; gzip of these), or a JSON
    document with `prefixes` or a `feed`. 201 or 200 once it is durable and in the kernel; if
    anything is wrong, the old set stays whole.
    """
    data = await read_all(request, ctx.settings.bulk_max_bytes)
    kind = request.headers.get("content-type", "text/plain").split(";")[0].strip().lower()
    document = kind == _JSON and query.format == "auto"
    choices: Choices = _document(data, query) if document else query
    put = _Put(ctx, name, who, choices)

    def work() -> tuple[Feed, SetAsk]:
        if isinstance(choices, SetIn):
            listed = put.of_json(choices)
        else:
            listed = put.listed(data, query.format, query.column)
        return listed, put.ask(listed)

    listed, ask = await asyncio.to_thread(work)
    changed = await put.make(ask, named_etag(if_match))
    if not choices.dry_run:
        ctx.refresher.attempts.pop(name, None)
    out = SetAnswer(
        **set_out(ctx, changed.set, ask.entries if choices.dry_run else None),
        created=changed.created,
        changed=True,
        dry_run=choices.dry_run,
        rejects=listed.rejects,
    )
    headers = {"Location": f"/v1/sets/{name}", "ETag": f'"{out.etag}"'}
    return Response(out.model_dump_json(), 201 if out.created else 200, headers, _JSON)


def _document(data: bytes, query: ListQuery) -> SetIn:
    for field in query.model_fields_set:
        raise RuleError(f"{field} is in the query", field, "put it into the document")
    try:
        return SetIn.model_validate_json(data)
    except pydantic.ValidationError as error:
        found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(found) from None


@router.patch("/{name}")
async def change_set(
    name: str, body: SetChange, who: Operator, ctx: Ctx, if_match: IfMatch = None
) -> SetOut:
    """Change mode, reason or refresh; a mode changes for all entries at once."""
    changes: dict[str, Any] = body.model_dump(include=body.model_fields_set - {"refresh"})
    seen = named_etag(if_match)
    if body.refresh is not None:
        changes["feed"] = ctx.refresher.loader.every(_find(ctx, name), body.refresh)
    future = ctx.controller.submit(lambda draft: operations.change(draft, name, changes, who, seen))
    changed = (await asyncio.wrap_future(future)).set
    ctx.refresher.reschedule(changed)
    return SetOut(**set_out(ctx, changed))


@router.delete("/{name}")
async def remove_set(name: str, who: Operator, ctx: Ctx, if_match: IfMatch = None) -> SetOut:
    """Take it away, at once for all entries; answers with the set as it was."""
    held = _find(ctx, name)
    last = set_out(ctx, held)
    hits = {"packets": last["packets"], "bytes": last["bytes"]}
    seen = named_etag(if_match)
    future = ctx.controller.submit(lambda draft: operations.remove(draft, name, who, seen, hits))
    await asyncio.wrap_future(future)
    ctx.refresher.attempts.pop(name, None)
    return SetOut(**last)


@router.post("/{name}/refresh")
async def refresh_set(name: str, who: Operator, ctx: Ctx, force: bool = False) -> SetAnswer:
    """Look at its feed now; `force` also takes a list that shrank by more than half."""
    held = _find(ctx, name)
    if held.feed is None:
        raise RuleError(f"the set {name} has no feed", "name", "PUT a new list instead")
    changed = await asyncio.to_thread(ctx.refresher.refresh, held, force)
    now = _find(ctx, name)
    fields = set_out(ctx, now)
    return SetAnswer(
        **fields, created=False, changed=changed is not None, dry_run=False, rejects=[]
    )


@router.get("/{name}/top")
async def top_entries(
    name: str,
    who: Viewer,
    ctx: Ctx,
    seconds: Annotated[float, Query(gt=0, le=60)] = 5.0,
    every: Annotated[int, Query(ge=1, le=65536, description="A power of two")] = 64,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> TopOut:
    """Watch which of its entries are hit, on one packet in `every`, for so many seconds."""
    if every & (every - 1):
        raise RuleError(f"{every} is no power of two", "every", "give 1, 2, 4, 8, ... 65536")
    held = _find(ctx, name)
    entries = ctx.controller.state.entries.get(name, NOTHING)
    datapath = ctx.controller.datapath
    top = await asyncio.to_thread(watch, datapath, held.slot, entries, seconds, every, limit)

    def rows(found: list[tuple[Any, int]], field: str) -> list[dict[str, Any]]:
        return [
            {field: str(prefix), "packets": count * top.every, "share": count / top.samples}
            for prefix, count in found
        ]

    return TopOut(
        seconds=top.seconds,
        every=top.every,
        samples=top.samples,
        entries=rows(top.entries, "prefix"),
        sources=rows(top.sources, "source"),
    )
