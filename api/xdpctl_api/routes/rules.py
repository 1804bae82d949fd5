"""Single rules: add, list, read, change, confirm, remove."""

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BaseModel, Field

from xdpctl import rules
from xdpctl.errors import NotFoundError
from xdpctl.model import Action, Mode, Rule, parse_rule_id
from xdpctl.prefix import Prefix, parse_prefix
from xdpctl.rules import Added
from xdpctl.state import order
from xdpctl_api.auth import Operator, Viewer
from xdpctl_api.context import Context, context
from xdpctl_api.schemas import RuleAnswer, RuleChange, RuleIn, RuleOut, RulePage, rule_out

router = APIRouter(prefix="/v1/rules", tags=["rules"])
Ctx = Annotated[Context, Depends(context)]
IfMatch = Annotated[str | None, Header(description="The rule's ETag; 412 if it changed since")]


def answer(ctx: Context, added: Added) -> RuleAnswer:
    controller = ctx.controller
    rule = controller.state.rules.get(added.rule.source, added.rule)
    fields = rule_out(controller, rule, controller.clock.read())
    return RuleAnswer(
        **fields,
        created=added.created,
        in_kernel=fields["slot"] is not None,
        warnings=added.warnings,
    )


def named_etag(header: str | None) -> str | None:
    """The ETag an If-Match header names; `*` and none at all match any."""
    return None if header in (None, "*") else header.removeprefix("W/").strip('"')


@router.post("", status_code=201, response_model=RuleAnswer, responses={200: {"model": RuleAnswer}})
async def add_rule(body: RuleIn, who: Operator, ctx: Ctx) -> Response:
    """201 with the rule once it is durable and in the kernel; the same again is 200."""
    ask = body.ask()
    future = ctx.controller.submit(lambda draft: rules.add(draft, ask, who))
    added = await asyncio.wrap_future(future)
    out = answer(ctx, added)
    headers = {"Location": f"/v1/rules/{out.id}", "ETag": f'"{out.etag}"'}
    # serialized here, once: this is the call that must keep up with an attack
    text = out.model_dump_json()
    return Response(text, 201 if added.created else 200, headers, "application/json")


class Filters(BaseModel):
    """What a listing may be narrowed by."""

    action: Action | None = None
    mode: Mode | None = None
    origin: str | None = None
    tag: str | None = None
    within: str | None = Field(default=None, description="Only rules inside this prefix")
    covering: str | None = Field(default=None, description="Only rules around this")

    def test(self) -> Callable[[Rule], bool]:
        """The filter as a function, its prefixes parsed once."""
        inside = parse_prefix(self.within, "within") if self.within else None
        around = parse_prefix(self.covering, "covering") if self.covering else None
        return lambda rule: (
            (self.action is None or rule.action is self.action)
            and (self.mode is None or rule.mode is self.mode)
            and (self.origin is None or rule.origin == self.origin)
            and (self.tag is None or self.tag in rule.tags)
            and (inside is None or inside.covers(rule.source))
            and (around is None or rule.source.covers(around))
        )


@router.get("")
async def list_rules(
    who: Viewer,
    ctx: Ctx,
    filters: Annotated[Filters, Depends()],
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(description="`next` of the page before")] = None,
) -> RulePage:
    """The standing rules by address, a page at a time; rules may come and go between pages."""
    after = parse_rule_id(cursor) if cursor else None
    return await asyncio.to_thread(_page, ctx, filters.test(), limit, after)


def _page(
    ctx: Context, wanted: Callable[[Rule], bool], limit: int, after: Prefix | None
) -> RulePage:
    state, now = ctx.controller.state, ctx.controller.clock.read()
    ordered = state.ordered()
    start = bisect_right(ordered, order(after), key=order) if after else 0
    standing = (state.rules.get(source) for source in islice(ordered, start, None))
    found = (rule for rule in standing if rule and not rule.expired(now.ns) and wanted(rule))
    page = list(islice(found, limit + 1))
    return RulePage(
        rules=[RuleOut(**rule_out(ctx.controller, rule, now)) for rule in page[:limit]],
        next=page[limit - 1].id if len(page) > limit else None,
    )


def _find(ctx: Context, rule_id: str) -> tuple[Prefix, Rule]:
    source = parse_rule_id(rule_id)
    rule = ctx.controller.state.rules.get(source)
    if rule is None or rule.expired(ctx.controller.clock.read().ns):
        raise NotFoundError(f"no rule stands on {source}; see GET /v1/rules")
    return source, rule


@router.get("/{rule_id}")
async def read_rule(rule_id: str, who: Viewer, ctx: Ctx, response: Response) -> RuleOut:
    """One rule with its counters; its id is its match, `203.0.113.0_24`."""
    _, rule = _find(ctx, rule_id)
    response.headers["ETag"] = f'"{rule.etag}"'
    return RuleOut(**rule_out(ctx.controller, rule, ctx.controller.clock.read()))


@router.patch("/{rule_id}")
async def change_rule(
    rule_id: str,
    body: RuleChange,
    who: Operator,
    ctx: Ctx,
    response: Response,
    if_match: IfMatch = None,
) -> RuleAnswer:
    """Change mode, ttl, reason or tags, at once and without a gap."""
    source, changes, seen = parse_rule_id(rule_id), body.changes(), named_etag(if_match)
    future = ctx.controller.submit(lambda draft: rules.change(draft, source, changes, who, seen))
    out = answer(ctx, await asyncio.wrap_future(future))
    response.headers["ETag"] = f'"{out.etag}"'
    return out


@router.post("/{rule_id}/confirm")
async def confirm_rule(
    rule_id: str, who: Operator, ctx: Ctx, if_match: IfMatch = None
) -> RuleAnswer:
    """Let a provisional rule stand; 404 once its time was up and it undid itself."""
    source, seen = parse_rule_id(rule_id), named_etag(if_match)
    future = ctx.controller.submit(lambda draft: rules.confirm(draft, source, who, seen))
    return answer(ctx, await asyncio.wrap_future(future))


@router.delete("/{rule_id}")
async def remove_rule(rule_id: str, who: Operator, ctx: Ctx, if_match: IfMatch = None) -> RuleOut:
    """Take it away; answers with the rule as it was, and its last counters."""
    source, seen = parse_rule_id(rule_id), named_etag(if_match)
    _, rule = _find(ctx, rule_id)
    last = rule_out(ctx.controller, rule, ctx.controller.clock.read())
    hits = {"packets": last["packets"], "bytes": last["bytes"]}
    future = ctx.controller.submit(lambda draft: rules.remove(draft, source, who, seen, hits))
    await asyncio.wrap_future(future)
    return RuleOut(**last)
