# SPDX-License-Identifier: GPL-2.0-or-later
"""Imports many rules in one request; lines are applied as they arrive."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.tcp_peers import Peers
from xdpctl.base.system import malloc
from xdpctl.control.guards.connections import ImportGuard
from xdpctl.control.operations.bulk import Imported, add_many, matching
from xdpctl.control.operations.bulk_parser import Format, Parser
from xdpctl.control.state.draft import Draft
from xdpctl.errors import CapacityError, RuleError
from xdpctl.incidents.ledger import by_hand
from xdpctl.mitigation.undo import remove_matching
from xdpctl.model.effect import Action, Mode
from xdpctl.model.match.match import Match, id_of, key_named
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import OPERATOR, Rule
from xdpctl.model.tags import given as asked_tags
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.auth import Operator
from xdpctl_api.dependencies import Ctx, Stating
from xdpctl_api.problems import CHANGE, GUARDED, problem, refusals
from xdpctl_api.shapes.common import Strict, seconds
from xdpctl_api.shapes.fleet import ForWhom
from xdpctl_api.shapes.imports import ImportOut
from xdpctl_api.shapes.rule_lists import RemovalQuery
from xdpctl_api.shapes.rules import RuleNamed, RulesRemoved
from xdpctl_api.transport.bodies import TooLarge

router = APIRouter(prefix="/v1/rules", tags=["rules"])
_CHUNK, _CHUNK_BYTES = 10_000, 4 << 20
_LINE_MAX = 65_536
_NAMED = 1_000
_ANY = Prefix(bytes(4), 0)  # placeholder in the defaults; every line has a source of its own
_BODY = {"schema": {"type": "string", "format": "binary"}}
# a generated client that cannot tell the formats apart takes the last one, plain text
_BODIES = {kind.value: _BODY for kind in (Format.NDJSON, Format.CSV, Format.PLAIN)}


async def _lines(request: Request, most: int) -> AsyncIterator[list[bytes]]:
    """Yield the body's lines in chunks. RuleError for a long line, TooLarge for a large body."""
    rest, size, chunk, lines = b"", 0, 0, []
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise TooLarge(most)
        *whole, rest = (rest + piece).split(b"\n")
        if len(rest) > _LINE_MAX:
            raise RuleError("a line is longer than 64 KiB", "body", "send one rule per line")
        lines += whole
        chunk += len(piece)
        if len(lines) >= _CHUNK or chunk >= _CHUNK_BYTES:
            yield lines
            chunk, lines = 0, []
    yield [*lines, rest] if rest else lines


class BulkQuery(Strict, ForWhom):
    """Values for lines that leave them out."""

    action: Action = Action.DROP
    mode: Mode = Mode.ENFORCE
    ttl: str | None = None
    reason: str = ""
    tag: list[str] = Field(default=[])
    dry_run: bool = False

    def defaults(self) -> RuleRequest:
        """The default values as a RuleRequest; RuleError for an invalid ttl."""
        ttl = seconds(self.ttl, "ttl")
        tags = asked_tags((), tuple(self.tag))
        return RuleRequest(Match(_ANY), self.action, self.mode, ttl, None, self.reason, tags)


class _Import:
    """One request: its parser, running total and, for a dry run, the draft that is discarded."""

    def __init__(
        self,
        ctx: ControlPlane,
        who: Operator,
        parser: Parser,
        dry_run: bool,
        guard: ImportGuard,
        states: Stating,
    ) -> None:
        self.total = Imported()
        self._guard = guard
        self._ctx, self._who, self._parser, self._dry_run = ctx, who, parser, dry_run
        self._scratch: Draft | None = None
        self._states = states
        self.change = ctx.controller.change_by(who, meant=True)

    async def take(self, lines: list[bytes]) -> None:
        future = self._ctx.controller.submit(
            lambda draft: self._add(draft, lines), self.change, self._states.scope
        )
        self.total.absorb(await asyncio.wrap_future(future))

    def _add(self, draft: Draft, lines: list[bytes]) -> Imported:
        if self._dry_run:
            draft = self._scratch = self._scratch or Draft(draft.state, draft.now)
        new: list[Rule] = []
        parsed = self._parser.feed(lines)
        imported = add_many(draft, parsed, self._who, "bulk", self._guard, new.append)
        by_hand.attach(draft, new, self._who, self._ctx.controller.hits)
        return imported

    async def out(self) -> ImportOut:
        applied = self.total.added or self.total.extended
        number = (applied and not self._dry_run and self.change.number) or None
        where = await self._states.where(number, ())
        return ImportOut(**asdict(self.total), dry_run=self._dry_run, change=number, fleet=where)


@router.post(
    "/bulk",
    response_model=ImportOut,
    responses=refusals(*CHANGE, CapacityError, (415, "bad-request")),
    openapi_extra={"requestBody": {"content": _BODIES}},
)
async def import_rules(
    request: Request,
    who: Operator,
    ctx: Ctx,
    query: Annotated[BulkQuery, Query()],
) -> ImportOut | Response:
    """Import NDJSON, CSV or one prefix per line; bad lines are reported, all others applied.

    The query gives defaults for values that a line leaves out. A body beyond `bulk_max_bytes` is
    413; the detail says how much was applied before.
    """
    kind = request.headers.get("content-type", "text/plain").split(";")[0].strip().lower()
    if kind not in set(Format):
        allowed = ", ".join(Format)
        return problem(415, "bad-request", f"{kind[:80]!r} is not supported; send {allowed}")
    most = ctx.settings.bulk_max_bytes
    if int(request.headers.get("content-length", "0")) > most:
        return _too_large(most, Imported())
    states = Stating(ctx, query.scope, query.wait)
    peers = await ctx.connections.read() if who.origin == OPERATOR else Peers()
    guard = ImportGuard(peers, who)
    job = _Import(ctx, who, Parser(Format(kind), query.defaults()), query.dry_run, guard, states)
    try:
        async for lines in _lines(request, most):
            await job.take(lines)
    except TooLarge:
        return _too_large(most, job.total)
    await asyncio.to_thread(malloc.trim)
    return await job.out()


def _too_large(most: int, imported: Imported) -> Response:
    applied = f"{imported.added} added and {imported.extended} extended before that are kept"
    detail = f"more than {most} bytes (bulk_max_bytes); {applied}"
    return problem(413, "too-large", detail, fix="split the file, or raise bulk_max_bytes")


@router.delete("", responses=refusals(*GUARDED))
async def remove_rules(
    who: Operator,
    ctx: Ctx,
    query: Annotated[RemovalQuery, Query()],
) -> RulesRemoved:
    """Remove every rule that all given filters match, at once; or, with `dry_run`, name them.

    Without `dry_run`, `count` must be the number of rules that match: 409 if others have come or
    gone since it was read.
    """
    states = Stating(ctx, query.scope, query.wait)
    wanted = query.test(ctx.controller.clock.read().unix)
    change = ctx.controller.change_by(who, query.force)
    hits = ctx.controller.hits

    def operation(draft: Draft) -> list[Rule]:
        if query.dry_run:
            return matching(draft, wanted)
        return remove_matching(draft, wanted, who, query.count, hits)

    rules = await asyncio.wrap_future(ctx.controller.submit(operation, change, states.scope))
    recorded = change if rules and not query.dry_run else None
    ids = {rule.id for rule in rules}
    return RulesRemoved(
        rules=len(rules),
        first=[RuleNamed(id=r.id, text=r.subject, action=r.action) for r in rules[:_NAMED]],
        missing=[identity for identity in query.id if id_of(key_named(identity)) not in ids],
        dry_run=query.dry_run,
        change=(recorded and recorded.number) or None,
        fleet=await states.where(recorded, ()),
    )
