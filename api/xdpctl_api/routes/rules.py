# SPDX-License-Identifier: GPL-2.0-or-later
"""Single rules: add, list, read, change, confirm, remove."""

import asyncio
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from xdpctl.abi.structs import Hits
from xdpctl.control.operations import rules
from xdpctl.control.operations.rules import Added
from xdpctl.control.state.changes import Change
from xdpctl.control.state.coverage import around
from xdpctl.control.state.draft import Draft
from xdpctl.errors import DatapathError, NotFoundError, RuleError, StaleError
from xdpctl.incidents.ledger import by_hand, rule_notes
from xdpctl.model.effect import Action, Mode
from xdpctl.model.identity import Caller
from xdpctl.model.match.match import id_of, key_named
from xdpctl.model.rule import Rule
from xdpctl.model.shared import key_of
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.auth import Operator, Viewer
from xdpctl_api.dependencies import Ctx, States, Stating
from xdpctl_api.problems import FOUND_RULE, GUARDED, HELD_RULE, RULE, refusals
from xdpctl_api.shapes.monitor import statistics_out
from xdpctl_api.shapes.rule_lists import ListQuery, busiest, fastest, page
from xdpctl_api.shapes.rule_requests import RuleChange, RuleIn
from xdpctl_api.shapes.rules import RuleAnswer, RuleOut, RulePage, RuleRemoved, rule_out

router = APIRouter(prefix="/v1/rules", tags=["rules"])
IfMatch = Annotated[str | None, Header(description="The rule's ETag; 412 if it changed since")]


def answer(ctx: ControlPlane, added: Added, change: Change | None) -> RuleAnswer:
    """The rule as it is now, or as it was added if it has been removed meanwhile."""
    controller, rule = ctx.controller, added.rule
    rule = controller.state.find(rule.id, 0) or rule
    fields = rule_out(ctx, rule, controller.clock.read())
    return RuleAnswer(
        **fields,
        created=added.created,
        changed=added.changed,
        in_kernel=fields["slot"] is not None,
        warnings=added.warnings,
        change=(change and added.changed and change.number) or None,
    )


def named_etag(header: str | None) -> str | None:
    """The ETag of an If-Match header; None, which matches any, for `*` or no header."""
    return None if header in (None, "*") else header.removeprefix("W/").strip('"')


@router.post(
    "",
    status_code=201,
    response_model=RuleAnswer,
    responses={200: {"model": RuleAnswer, "description": "It existed"}, **refusals(*RULE)},
)
async def add_rule(body: RuleIn, who: Operator, ctx: Ctx, states: States) -> Response:
    """Add a rule: 201 once it is durable and in the kernel; 200 if it existed.

    In a fleet, `fleet` says where it is in force.
    """
    request = body.ask()
    change = ctx.controller.change_by(who, request.force)
    hits = ctx.controller.hits

    def operation(draft: Draft) -> Added:
        added = rules.add(draft, request, who)
        if added.created:
            by_hand.attach(draft, [added.rule], who, hits)
        return added

    added = await asyncio.wrap_future(ctx.controller.submit(operation, change, states.scope))
    out = answer(ctx, added, change if states.here else None)
    out.fleet = await states.where(change, [key_of(added.rule)])
    headers = {"Location": f"/v1/rules/{out.id}", "ETag": f'"{out.etag}"'}
    # serialized only here, not again by FastAPI: this call must keep up with an attack
    data = out.model_dump_json()
    return Response(data, 201 if added.created else 200, headers, "application/json")


@router.get("", response_model=RulePage)
async def list_rules(who: Viewer, ctx: Ctx, query: Annotated[ListQuery, Query()]) -> Response:
    """List rules by address, page by page; rules may be added or removed between pages."""
    wanted = query.test(ctx.controller.clock.read().unix)
    # serialized only here, not again by FastAPI: a list may have many pages
    data = await asyncio.to_thread(_page, ctx, wanted, query)
    return Response(data, media_type="application/json")


def _page(ctx: ControlPlane, wanted: Callable[[Rule], bool], query: ListQuery) -> bytes:
    if query.sort != "address":
        if query.cursor:
            raise RuleError(f"sorted by {query.sort} there is one page", "cursor", "leave it out")
        return (busiest if query.sort == "hits" else fastest)(ctx, wanted, query.limit)
    return page(ctx, wanted, query.limit, query.cursor)


def _find(ctx: ControlPlane, rule_id: str) -> Rule:
    state, now = ctx.controller.state, ctx.controller.clock.read()
    rule = state.find(rule_id, now.ns)
    if rule is None:
        key = key_named(rule_id)
        stated = state.shared.get(f"rules/{id_of(key)}")
        if stated and stated.stands and stated.scope:
            raise NotFoundError(
                f"the rule on {key} is only for {stated.scope.replace(':', ' ')}, and this node "
                "is not in it: ask a node that is (--node NAME)"
            )
        raise NotFoundError(f"there is no rule on {key}{_covered_by(ctx, rule_id)}")
    return rule


def _covered_by(ctx: ControlPlane, rule_id: str) -> str:
    """The end of an error: what covers a source that has no rule of its own."""
    source = key_named(rule_id)
    if isinstance(source, str):
        return "; xdpctl list shows all rules"
    wider = around(Draft(ctx.controller.state, ctx.controller.clock.read()), source)
    if wider is None:
        return ""
    if wider.rule is None or wider.action is Action.ACCEPT:
        return f"; {wider} covers it"
    return (
        f"; {wider} covers it: remove that one, or let this source pass with "
        f"xdpctl allow {str(source).removesuffix('/32').removesuffix('/128')}"
    )


@router.get("/{rule_id}", responses=refusals(*FOUND_RULE, DatapathError))
async def read_rule(rule_id: str, who: Viewer, ctx: Ctx, response: Response) -> RuleOut:
    """One rule with its counters. The id of a rule on a source is like `203.0.113.0_24`."""
    rule = _find(ctx, rule_id)
    response.headers.update({"ETag": f'"{rule.etag}"', "Cache-Control": "no-store"})
    statistics = statistics_out(ctx.controller, ctx.controller.statistics(rule))
    return RuleOut(**rule_out(ctx, rule, ctx.controller.clock.read()), statistics=statistics)


@router.patch("/{rule_id}", responses=refusals(*HELD_RULE))
async def change_rule(
    rule_id: str,
    body: RuleChange,
    who: Operator,
    ctx: Ctx,
    response: Response,
    states: States,
    if_match: IfMatch = None,
) -> RuleAnswer:
    """Change action, mode, ttl, reason, tags, limit, spare or priority."""
    out = await _change(ctx, rule_id, body.changes(), who, if_match, states)
    response.headers["ETag"] = f'"{out.etag}"'
    return out


async def _change(
    ctx: ControlPlane,
    rule_id: str,
    changes: dict[str, object],
    who: Caller,
    if_match: str | None,
    states: Stating,
) -> RuleAnswer:
    etag = named_etag(if_match)
    change = ctx.controller.change_by(who, bool(changes.get("force")))

    def operation(draft: Draft) -> Added:
        before = draft.find(rule_id)
        changed = rules.change(draft, rule_id, changes, who, etag)
        if before:
            rule_notes.rule_edited(draft, before, changed.rule, ctx.controller.hits(before))
        return changed

    changed = await asyncio.wrap_future(ctx.controller.submit(operation, change, states.scope))
    out = answer(ctx, changed, change)
    out.fleet = await states.where(change, [key_of(changed.rule)])
    return out


@router.post("/{rule_id}/enforce", responses=refusals(*HELD_RULE))
async def enforce_rule(
    rule_id: str,
    who: Operator,
    ctx: Ctx,
    states: States,
    if_match: IfMatch = None,
    force: bool = False,
) -> RuleAnswer:
    """Enforce a rule that is in monitor mode, as PATCH with mode enforce does."""
    changes: dict[str, object] = {"mode": Mode.ENFORCE, "force": force}
    return await _change(ctx, rule_id, changes, who, if_match, states)


@router.post("/{rule_id}/confirm", responses=refusals(*HELD_RULE))
async def confirm_rule(
    rule_id: str, who: Operator, ctx: Ctx, states: States, if_match: IfMatch = None
) -> RuleAnswer:
    """Keep a provisional rule; 404 if its time was up and it has ended."""
    etag = named_etag(if_match)
    confirmed_id = id_of(key_named(rule_id))
    change = ctx.controller.change_by(who, meant=True, confirms=confirmed_id)
    future = ctx.controller.submit(
        lambda draft: rules.confirm(draft, rule_id, who, etag), change, states.scope
    )
    confirmed = await asyncio.wrap_future(future)
    out = answer(ctx, confirmed, change)
    out.fleet = await states.where(change, [key_of(confirmed.rule)])
    return out


@router.delete("/{rule_id}", responses=refusals(*FOUND_RULE, StaleError, *GUARDED))
async def remove_rule(
    rule_id: str,
    who: Operator,
    ctx: Ctx,
    states: States,
    if_match: IfMatch = None,
    force: bool = False,
) -> RuleRemoved:
    """Remove a rule; the answer is the rule as it was, with its last counters.

    `force` is needed if most of this host's connections would be cut off without the rule.
    """
    etag = named_etag(if_match)
    rule = _find(ctx, rule_id)
    last = rule_out(ctx, rule, ctx.controller.clock.read())
    hits = {"packets": last["packets"], "bytes": last["bytes"]}

    def remove(draft: Draft) -> None:
        removed = rules.remove(draft, rule_id, who, etag, hits)
        rule_notes.rule_ended(
            draft, removed, Hits(**hits), f"removed by {who.name}", taken_back=True
        )

    change = ctx.controller.change_by(who, force)
    await asyncio.wrap_future(ctx.controller.submit(remove, change, states.scope))
    return RuleRemoved(
        **last,
        change=change.number or None,
        fleet=await states.where(change, [key_of(rule)]),
    )
