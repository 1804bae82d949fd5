# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit log and the tokens."""

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from xdpctl.control.state.draft import Draft
from xdpctl.errors import ConflictError, NotFoundError, RuleError
from xdpctl.model.identity import Role, Token, digest, mint
from xdpctl.model.requests import check_seconds
from xdpctl.model.rule import OPERATOR, TTL_MAX, check_name
from xdpctl_api.auth import Admin, Operator
from xdpctl_api.dependencies import Ctx
from xdpctl_api.shapes.common import seconds, timestamp
from xdpctl_api.shapes.system import TokenIn, TokenOut

router = APIRouter(prefix="/v1")
_PAGE = 5000
_LAST = 2**63 - 1  # the largest integer of SQLite


@router.get("/audit", tags=["audit"])
async def read_audit(
    who: Operator,
    ctx: Ctx,
    after: Annotated[
        int, Query(ge=0, le=_LAST, description="Return records after this sequence number")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=_PAGE)] = 100,
    last: Annotated[
        bool, Query(description="Return the newest records instead of the oldest")
    ] = False,
) -> JSONResponse:
    """Records of changes: who, what, when. Each has the hash of the record before it."""
    store = ctx.controller.store
    if last:
        newest = store.last_audit()
        after = max(0, json.loads(newest)["sequence"] - limit) if newest else 0
    rows = await asyncio.to_thread(store.audit, after, limit)
    return JSONResponse({"records": [json.loads(row) for row in rows]})


@router.get("/audit/verify", tags=["audit"])
async def verify_audit(who: Operator, ctx: Ctx) -> dict[str, Any]:
    """Verify the whole hash chain; `problem` says what was tampered with, or is null.

    `signed_to` is the number of the newest record whose hash is signed and stored separately.
    """
    mark = ctx.controller.state.checkpoint
    verdict, signed_to = await asyncio.to_thread(ctx.audit_head.verify, mark)
    return {
        "records": verdict.records,
        "problem": verdict.problem,
        "last_hash": verdict.last_hash,
        "signed_to": signed_to,
    }


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
async def list_tokens(who: Admin, ctx: Ctx) -> dict[str, list[TokenOut]]:
    """Every token, without its secret."""
    return {"tokens": [_out(token) for token in list(ctx.controller.state.tokens.values())]}


@router.post("/tokens", tags=["tokens"], status_code=201)
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
        if draft.state.tokens.get(name) or name in draft.tokens:
            raise ConflictError(f"a token {name} exists", "name", "revoke it, or choose another")
        unix = draft.now.unix
        expires = unix + ttl if ttl is not None else None
        token = Token(name, digest(secret), body.role, origin, unix, expires)
        draft.tokens[name] = token
        draft.note(who.name, "token.create", name, role=body.role.value, origin=origin, ttl=ttl)
        return token

    return _out(await asyncio.wrap_future(ctx.controller.submit(operation)), secret)


@router.delete("/tokens/{name}", tags=["tokens"])
async def revoke_token(name: str, who: Admin, ctx: Ctx) -> TokenOut:
    """Revoke a token, from the next request on."""

    def operation(draft: Draft) -> Token:
        token = draft.state.tokens.get(name)
        if token is None:
            raise NotFoundError(f"there is no token {name}; see GET /v1/tokens")
        draft.tokens[name] = None
        draft.note(who.name, "token.revoke", name)
        return token

    return _out(await asyncio.wrap_future(ctx.controller.submit(operation)))
