# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes of the audit log and of tokens."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import Field

from xdpctl.control.state.draft import Draft
from xdpctl.control.store.audit_search import LARGEST, Wanted, newest, oldest
from xdpctl.errors import ConflictError, NotFoundError, RuleError, StoreError
from xdpctl.model.identity import Role, Token, digest, mint
from xdpctl.model.names import check_name
from xdpctl.model.requests import check_seconds
from xdpctl.model.rule import OPERATOR, TTL_MAX
from xdpctl_api.auth import Admin, Operator
from xdpctl_api.dependencies import Ctx
from xdpctl_api.paging import CURSOR_TEXT, number
from xdpctl_api.problems import CHANGE, refusals
from xdpctl_api.shapes.common import Strict, seconds, timestamp
from xdpctl_api.shapes.system import AuditPage, AuditVerdict, TokenIn, TokenList, TokenOut

router = APIRouter(prefix="/v1")
_PAGE = 5000


class AuditQuery(Strict):
    """Which records of the audit log."""

    limit: int = Field(default=100, ge=1, le=_PAGE)
    cursor: str | None = Field(default=None, max_length=20, description=CURSOR_TEXT)
    last: bool = Field(
        default=False, description="The newest records instead of the oldest; pages go back in time"
    )
    since: str | None = Field(default=None, description="Only records of the last 10m, for example")
    actor: str = ""
    action: str = Field(default="", description="rule.add; or rule. for all that begin with it")
    object: str = Field(default="", description="What was changed: the id of a rule, a set")

    def wanted(self, unix: float) -> Wanted:
        """The search for these values. RuleError if `since` is no duration.

        `unix` is the current time.
        """
        age = seconds(self.since, "since")
        since = None if age is None else unix - age
        return Wanted(since, self.actor, self.action, self.object)


@router.get("/audit", tags=["audit"], response_model=AuditPage, responses=refusals(StoreError))
async def read_audit(
    who: Operator, ctx: Ctx, query: Annotated[AuditQuery, Query()]
) -> JSONResponse:
    """Records of changes: who, what, when. Each has the hash of the record before it."""
    store, search = ctx.controller.store, query.wanted(ctx.controller.clock.read().unix)
    find, least = (newest, LARGEST) if query.last else (oldest, 0)
    place = number(query.cursor, least)
    records = await asyncio.to_thread(find, store, search, query.limit + 1, place)
    more = len(records) > query.limit
    shown = records[-query.limit :] if query.last else records[: query.limit]
    edge = shown[0 if query.last else -1]["sequence"] if more else None
    return JSONResponse({"records": shown, "next": None if edge is None else str(edge)})


@router.get("/audit/verify", tags=["audit"], responses=refusals(StoreError))
async def verify_audit(who: Operator, ctx: Ctx) -> AuditVerdict:
    """Verify the whole hash chain; `problem` says what was tampered with, or is null.

    `signed_to` is the number of the newest record whose hash is signed and stored separately.
    """
    mark = ctx.controller.state.checkpoint
    verdict, signed_to = await asyncio.to_thread(ctx.audit_head.verify, mark)
    return AuditVerdict(
        records=verdict.records,
        problem=verdict.problem,
        last_hash=verdict.last_hash,
        signed_to=signed_to,
    )


def _out(token: Token, secret: str | None = None) -> TokenOut:
    return TokenOut(
        name=token.name,
        role=token.role,
        origin=token.origin,
        created_at=timestamp(token.created_at),
        expires_at=timestamp(token.expires_at) if token.expires_at else None,
        secret=secret,
    )


@router.get("/tokens", tags=["tokens"])
async def list_tokens(who: Admin, ctx: Ctx) -> TokenList:
    """Every token, without its secret."""
    return TokenList(tokens=[_out(token) for token in list(ctx.controller.state.tokens.values())])


@router.post(
    "/tokens", tags=["tokens"], status_code=201, responses=refusals(ConflictError, *CHANGE)
)
async def create_token(body: TokenIn, who: Admin, ctx: Ctx) -> TokenOut:
    """Create a token; only this answer contains its secret."""
    name = check_name(body.name, "name")
    if body.role is Role.DETECTOR and not body.origin:
        raise RuleError(
            "a detector's token needs an origin", "origin", "give the detector's name: --origin"
        )
    origin = check_name(body.origin or OPERATOR, "origin")
    ttl = seconds(body.ttl, "ttl")
    check_seconds(ttl, "ttl", TTL_MAX)
    secret = mint()

    def operation(draft: Draft) -> Token:
        if draft.tokens.get(name):
            fix = f"choose another name, or revoke it first: xdpctl token revoke {name}"
            raise ConflictError(f"a token {name} exists", "name", fix)
        unix = draft.now.unix
        expires = unix + ttl if ttl is not None else None
        token = Token(name, digest(secret), body.role, origin, unix, expires)
        draft.tokens[name] = token
        draft.note(who.name, "token.create", name, role=body.role.value, origin=origin, ttl=ttl)
        return token

    return _out(await asyncio.wrap_future(ctx.controller.submit(operation)), secret)


@router.delete("/tokens/{name}", tags=["tokens"], responses=refusals(NotFoundError, *CHANGE))
async def revoke_token(name: str, who: Admin, ctx: Ctx) -> TokenOut:
    """Revoke a token, from the next request on."""

    def operation(draft: Draft) -> Token:
        token = draft.tokens.get(name)
        if token is None:
            raise NotFoundError(f"there is no token {name}; see GET /v1/tokens")
        draft.tokens[name] = None
        draft.note(who.name, "token.revoke", name)
        return token

    return _out(await asyncio.wrap_future(ctx.controller.submit(operation)))
