# SPDX-License-Identifier: GPL-2.0-or-later
"""Authentication: a peer on the Unix socket, or a bearer token (RFC 6750)."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from xdpctl.base.net.prefix import Prefix, exact_address
from xdpctl.errors import AccessError
from xdpctl.model.identity import Caller, Role, authenticate
from xdpctl.model.rule import OPERATOR
from xdpctl_api import problems
from xdpctl_api.transport.callers import PEER, LocalPeer, RemotePeer

_SECRET_MAX = 256  # characters
# [v6] and v4 may be followed by a port; the RFC forbids an IPv6 address without brackets
_FORWARDED_FOR = re.compile(
    r'for="?(?:\[([^\]]{1,64})\]|(\d{1,3}(?:\.\d{1,3}){3})|([0-9a-f:.]{2,64}))', re.IGNORECASE
)
_FORWARDED_MAX = 256  # characters that are looked at


def caller(request: Request) -> Caller:
    """The caller of a request. AccessError without a valid token on TCP, or with an invalid one."""
    peer = request.scope.get(PEER)
    header = request.headers.get("authorization", "")
    if header:
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer" or len(secret) > _SECRET_MAX:
            raise AccessError("the Authorization header must be: Bearer TOKEN")
        controller = request.app.state.context.controller
        now = controller.clock.read().unix
        token = authenticate(secret.strip(), controller.state.tokens_by_digest, now)
        address = peer.address if isinstance(peer, RemotePeer) else None
        if address and token.role in (Role.OPERATOR, Role.ADMIN) and token.origin == OPERATOR:
            controller.state.called(address, controller.clock.read().ns)
        return Caller(f"token {token.name}", token.role, token.origin, address)
    if isinstance(peer, LocalPeer):
        return Caller(peer.user, Role.ADMIN, OPERATOR, _forwarded(request))
    raise AccessError("no token: send Authorization: Bearer TOKEN, or use the Unix socket")


def _forwarded(request: Request) -> Prefix | None:
    """The client of the CLI's ssh session (RFC 7239); trusted only on the Unix socket."""
    found = _FORWARDED_FOR.search(request.headers.get("forwarded", "")[:_FORWARDED_MAX])
    return exact_address(found[1] or found[2] or found[3]) if found else None


class KnownSender:
    """Answers 401 before a body is read, so that an unknown caller cannot send a body slowly.

    The route authenticates again, because a token may be revoked while the body arrives.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 to an unknown caller's request with a body, before the body is read."""
        if scope["type"] == "http" and _has_body(scope):
            try:
                caller(Request(scope))
            except AccessError as error:
                answer = problems.problem(401, "access", str(error))
                answer.headers["Connection"] = "close"
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def needs(role: Role) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency that returns the caller; RoleError if it does not have `role`."""

    # async, or FastAPI would run it in a thread
    async def dependency(request: Request) -> Caller:
        found = caller(request)
        found.require(role)
        return found

    return dependency


async def _unbound(request: Request) -> Caller:
    """A dependency that returns the caller: an operator whose token is not bound to an origin."""
    found = caller(request)
    found.require(Role.OPERATOR)
    found.require_unbound()
    return found


Viewer = Annotated[Caller, Depends(needs(Role.VIEWER))]
Operator = Annotated[Caller, Depends(needs(Role.OPERATOR))]
Unbound = Annotated[Caller, Depends(_unbound)]
Admin = Annotated[Caller, Depends(needs(Role.ADMIN))]
