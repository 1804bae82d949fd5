# SPDX-License-Identifier: GPL-2.0-or-later
"""Passes a request on to another node of the fleet, or to all, for whoever asked this one."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import msgspec
from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from xdpctl.errors import EngineError, NotFoundError, RuleError, XdpctlError
from xdpctl.model.identity import Caller
from xdpctl.service.control_plane import ControlPlane
from xdpctl_api import fleet_wide, problems
from xdpctl_api.auth import CALLER, ROLE, caller
from xdpctl_api.transport.bodies import read_all
from xdpctl_api.transport.callers import PEER, NodePeer

NODE, ALL = "xdpctl-node", "all"
_CONNECT_SECONDS, _SECONDS = 3.0, 150.0
_ALL_SECONDS = 5.0  # for each of all nodes
_ADDRESS = re.compile(r"[\w.:\[\]-]{1,262}:[0-9]{1,5}", re.ASCII)  # HOST:PORT and no more
_PASSED_ON = ("content-type", "accept", "if-match", "last-event-id")
_PASSED_BACK = ("content-type", "etag", "location", "content-disposition", "cache-control")


class FleetProxy:
    """Middleware for requests with the header `XDPCTL-Node`: a node's name, or `all`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for another node; requests without the header are this node's own."""
        request = Request(scope, receive) if scope["type"] == "http" else None
        named = request.headers.get(NODE, "") if request else ""
        if request is None or not named or isinstance(scope.get(PEER), NodePeer):
            await self._app(scope, receive, send)
            return
        try:
            who, ctx = caller(request), request.app.state.context
            if ctx.fleet is None:
                raise RuleError("this box is in no fleet", "node", "leave --node out")
            if named == ctx.fleet.member.name:
                await self._app(scope, receive, send)
                return
            answer = await _passed_on(ctx, request, who, named, self._app)
        except XdpctlError as error:
            answer = problems.answer_of(error)
        await answer(scope, receive, send)


async def _passed_on(
    ctx: ControlPlane, request: Request, who: Caller, named: str, app: ASGIApp
) -> Response:
    who.require_unbound()
    if named != ALL:
        return await _one(ctx, request, who, named)
    merge = fleet_wide.merger(request.method, request.url.path)
    if merge is None:
        raise RuleError(
            "this call has no answer for the whole fleet", "node", "name one node: --node NAME"
        )
    return await _all(ctx, request, who, merge, app)


async def _one(ctx: ControlPlane, request: Request, who: Caller, name: str) -> Response:
    """The answer of one node, as it comes: it may be a stream."""
    import httpx  # late: few ask another node

    _address(ctx, name)
    body = await read_all(request, ctx.settings.bulk_max_bytes)
    stack = AsyncExitStack()
    client = await stack.enter_async_context(
        _client(ctx, httpx.Timeout(_SECONDS, connect=_CONNECT_SECONDS))
    )
    try:
        asked = _asked(ctx, client, request, who, name, body)
        answer = await client.send(asked, stream=True)
        stack.push_async_callback(answer.aclose)
    except (httpx.HTTPError, OSError) as error:
        await stack.aclose()
        raise EngineError(f"the node {name} does not answer: {error or repr(error)}") from error

    async def pieces() -> AsyncIterator[bytes]:
        async with stack:
            async for piece in answer.aiter_raw():
                yield piece

    kept = {k: v for k, v in answer.headers.items() if k in _PASSED_BACK}
    return StreamingResponse(pieces(), answer.status_code, kept)


async def _all(
    ctx: ControlPlane, request: Request, who: Caller, merge: fleet_wide.Merge, app: ASGIApp
) -> Response:
    """The answers of all nodes that report, as one; those that do not answer are named."""
    import httpx

    fleet = ctx.fleet
    assert fleet is not None  # noqa: S101  # the caller has looked
    me, looked = fleet.member.name, fleet.looked()
    live = [
        n.name for n in fleet.reporter.nodes.by_name.values() if n.name != me and n.live(looked)
    ]
    answers: dict[str, Any] = {}
    missing: list[str] = []
    async with _client(ctx, httpx.Timeout(_ALL_SECONDS, connect=_CONNECT_SECONDS)) as client:

        async def ask(name: str) -> None:
            try:
                answer = await client.send(_asked(ctx, client, request, who, name, b""))
                answers[name] = msgspec.json.decode(answer.content)
                if answer.status_code >= 400:
                    missing.append(name)
                    del answers[name]
            except (httpx.HTTPError, OSError, ValueError, XdpctlError):
                missing.append(name)

        await asyncio.gather(_own(app, request, me, answers), *map(ask, sorted(live)))
    if not answers:
        raise EngineError("no node of the fleet answers this call, nor does this one")
    merged = merge({name: answers[name] for name in sorted(answers)})
    silent = set(fleet.reporter.nodes.by_name) - answers.keys()
    headers = {"XDPCTL-Missing": ", ".join(sorted(silent | set(missing)))}
    return Response(
        msgspec.json.encode(merged), 200, headers if silent else None, "application/json"
    )


async def _own(app: ASGIApp, request: Request, me: str, answers: dict[str, Any]) -> None:
    """This node's own answer."""
    import httpx

    scope = dict(request.scope)
    peer = scope[PEER]

    async def inside(inner: Scope, receive: Receive, send: Send) -> None:
        await app({**inner, PEER: peer}, receive, send)

    headers = [(k, v) for k, v in scope["headers"] if k.decode("latin-1") != NODE]
    transport = httpx.ASGITransport(inside, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://xdpctl") as client:
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        answer = await client.request(request.method, target, headers=headers)
    if answer.status_code < 400:
        answers[me] = msgspec.json.decode(answer.content)


def _client(ctx: ControlPlane, timeout: Any) -> Any:
    import httpx

    fleet = ctx.settings.fleet
    assert fleet is not None  # noqa: S101  # the caller has looked
    try:
        context = ssl.create_default_context(cafile=str(fleet.file("ca.crt")))
        context.load_cert_chain(fleet.file("node.crt"), fleet.file("node.key"))
    except OSError as error:
        raise EngineError(f"this node's certificate cannot be used: {error}") from error
    return httpx.AsyncClient(verify=context, timeout=timeout, trust_env=False)


def _address(ctx: ControlPlane, name: str) -> str:
    """Where a node is asked; NotFoundError or RuleError if it is not."""
    fleet = ctx.fleet
    assert fleet is not None  # noqa: S101  # the caller has looked
    seen = fleet.reporter.nodes.by_name.get(name)
    if seen is None:
        raise NotFoundError(f"there is no node {name[:40]!r} in the fleet; see xdpctl fleet status")
    if not seen.card.address:
        raise RuleError(
            f"the node {name} does not let other nodes ask it", "node", "set fleet.port"
        )
    if not _ADDRESS.fullmatch(seen.card.address):
        raise EngineError(f"the node {name} gives {seen.card.address[:80]!r} as its HOST:PORT")
    return seen.card.address


def _asked(
    ctx: ControlPlane, client: Any, request: Request, who: Caller, name: str, body: bytes
) -> Any:
    headers: Mapping[str, str] = {
        **{k: v for k in _PASSED_ON if (v := request.headers.get(k))},
        CALLER: who.name.encode("ascii", "replace").decode(),
        ROLE: who.role.value,
    }
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return client.build_request(
        request.method,
        f"https://{_address(ctx, name)}{target}",
        headers=headers,
        content=body,
        extensions={"sni_hostname": name},  # the name that its certificate must have
    )
