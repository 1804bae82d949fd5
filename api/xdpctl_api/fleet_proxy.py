# SPDX-License-Identifier: GPL-2.0-or-later
"""Passes a request on to another node of the fleet, or to all nodes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from xdpctl.errors import EngineError, RuleError, XdpctlError
from xdpctl.model.identity import Caller
from xdpctl_api import fleet_wide, problems
from xdpctl_api.auth import caller
from xdpctl_api.transport.bodies import read_all
from xdpctl_api.transport.callers import PEER, NodePeer

if TYPE_CHECKING:
    from xdpctl_api.fleet_neighbours import Neighbours

NODE, ALL = "xdpctl-node", "all"
_SECONDS = 150.0
_ALL_SECONDS, _AT_ONCE = 5.0, 16  # for each node, if all are asked; nodes asked at once
_PASSED_BACK = ("content-type", "etag", "location", "content-disposition", "cache-control")


class FleetProxy:
    """Middleware for requests with the header `XDPCTL-Node`: a node's name, or `all`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if it has the header; else this node answers it."""
        request = Request(scope, receive) if scope["type"] == "http" else None
        node = request.headers.get(NODE, "") if request else ""
        if request is None or not node or isinstance(scope.get(PEER), NodePeer):
            await self._app(scope, receive, send)
            return
        try:
            answer = await self._passed_on(request, caller(request), node)
        except XdpctlError as error:
            answer = problems.answer_of(error)
        if answer is None:
            await self._app(scope, receive, send)
        else:
            await answer(scope, receive, send)

    async def _passed_on(self, request: Request, who: Caller, node: str) -> Response | None:
        """The answer of the named node, or of all; None if this node itself is named."""
        ctx = request.app.state.context
        if ctx.fleet is None:
            raise RuleError("this box is in no fleet", "node", "leave --node out")
        me = ctx.fleet.member.name
        if node == me:
            return None
        from xdpctl_api.fleet_neighbours import Neighbours  # imported late: seldom needed

        who.require_unbound()
        neighbours = Neighbours(ctx.settings.fleet, ctx.fleet)
        if node != ALL:
            return await _one(neighbours, request, who, node, ctx.settings.bulk_max_bytes)
        merge = fleet_wide.merger(request.method, request.url.path)
        if merge is None:
            raise RuleError(
                "this call has no answer for the whole fleet", "node", "name one node: --node NAME"
            )
        answers = await _all(neighbours, request, who)
        own = await _own(self._app, request)
        if own is not None:
            answers[me] = own
        missing = sorted(set(ctx.fleet.reporter.nodes.by_name) - answers.keys())
        return _merged(merge, answers, missing)


async def _one(
    neighbours: "Neighbours", request: Request, who: Caller, name: str, most: int
) -> Response:
    """One node's answer, passed on piece by piece, because it may be an endless stream."""
    import httpx2

    neighbours.address(name)  # raises, before the body is read, if the node cannot be asked
    body = await read_all(request, most)
    stack = AsyncExitStack()
    try:
        client = await stack.enter_async_context(neighbours.client(_SECONDS))
        answer = await stack.enter_async_context(neighbours.asked(client, request, who, name, body))
    except (httpx2.HTTPError, OSError) as error:
        await stack.aclose()
        raise EngineError(f"the node {name} does not answer: {error or repr(error)}") from error

    async def pieces() -> AsyncIterator[bytes]:
        async with stack:
            async for piece in answer.aiter_raw():
                yield piece

    headers = {k: v for k, v in answer.headers.items() if k in _PASSED_BACK}
    return StreamingResponse(pieces(), answer.status_code, headers)


async def _all(neighbours: "Neighbours", request: Request, who: Caller) -> dict[str, Any]:
    """The answers of the other nodes that report, by name; nodes that fail are left out."""
    import httpx2

    from xdpctl_api.fleet_neighbours import read_json

    answers: dict[str, Any] = {}
    few = asyncio.Semaphore(_AT_ONCE)
    async with neighbours.client(_ALL_SECONDS) as client:

        async def ask(name: str) -> None:
            try:
                async with (
                    few,
                    asyncio.timeout(_ALL_SECONDS),
                    neighbours.asked(client, request, who, name, b"") as answer,
                ):
                    answers[name] = await read_json(answer)
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, XdpctlError):
                return  # `_passed_on` lists the nodes whose answers are missing

        await asyncio.gather(*map(ask, neighbours.live()))
    return answers


async def _own(app: ASGIApp, request: Request) -> Any:
    """This node's own answer; None if it is a problem."""
    import httpx2

    from xdpctl_api.fleet_neighbours import target

    scope = dict(request.scope)
    peer = scope[PEER]

    async def inside(inner: Scope, receive: Receive, send: Send) -> None:
        await app({**inner, PEER: peer, "app": request.app}, receive, send)

    headers = [(k, v) for k, v in scope["headers"] if k.decode("latin-1") != NODE]
    transport = httpx2.ASGITransport(inside, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://xdpctl") as client:
        answer = await client.request(request.method, target(request), headers=headers)
    return msgspec.json.decode(answer.content) if answer.status_code < 400 else None


def _merged(merge: fleet_wide.Merge, answers: dict[str, Any], missing: list[str]) -> Response:
    """The answers as one; EngineError if there is none, or if they do not fit together."""
    if not answers:
        raise EngineError("no node of the fleet answers this call, nor does this one")
    try:
        merged = merge({name: answers[name] for name in sorted(answers)})
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise EngineError(
            f"the nodes' answers do not fit together, as between versions: {error!r}"
        ) from error
    headers = {"XDPCTL-Missing": ", ".join(missing)} if missing else None
    return Response(msgspec.json.encode(merged), 200, headers, "application/json")
