# SPDX-License-Identifier: GPL-2.0-or-later
"""Authentication: a peer on the Unix socket, a bearer token (RFC 6750), or a browser's session."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from xdpctl.base.net.prefix import Prefix, exact_address
from xdpctl.errors import AccessError
from xdpctl.model.identity import Caller, Role, authenticate, valid
from xdpctl.model.rule import BUILTIN, OPERATOR
from xdpctl_api import problems
from xdpctl_api.transport.callers import PEER, SHOWN, LocalPeer, NodePeer, RemotePeer

SECRET_MAX = 256  # characters
# If another node passes a request on, these headers have the name and the role of its caller.
CALLER, ROLE = "xdpctl-caller", "xdpctl-role"
_NAME_MAX = 64
_ROLES = {role.value: role for role in (Role.VIEWER, Role.HELPDESK, Role.OPERATOR)} | {
    Role.ADMIN.value: Role.OPERATOR
}
# A port may follow [v6] and v4. RFC 7239 wants brackets around IPv6, but they may be missing.
_FORWARDED_FOR = re.compile(
    r'for="?(?:\[([^\]]{1,64})\]|(\d{1,3}(?:\.\d{1,3}){3})|([0-9a-f:.]{2,64}))', re.IGNORECASE
)
LOGIN = "/login"  # only here may a caller without a valid token send a body
_FORMS = "/actions/"
_FORWARDED_MAX = 256  # characters of the header that are searched


def caller(request: Request) -> Caller:
    """The caller of a request. AccessError without a valid token on TCP, or with an invalid one."""
    peer = request.scope.get(PEER)
    if isinstance(peer, NodePeer):
        return _from_node(request, peer)
    request.scope.get(SHOWN, []).append(False)  # until the token or session is found valid
    header = request.headers.get("authorization", "")
    if header:
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer" or len(secret) > SECRET_MAX:
            raise AccessError("the Authorization header must be: Bearer TOKEN")
        controller = request.app.state.context.controller
        now = controller.clock.read().unix
        token = authenticate(secret.strip(), controller.state.tokens_by_digest, now)
        address = peer.address if isinstance(peer, RemotePeer) else None
        who = Caller(f"token {token.name}", token.role, token.origin, address)
        return _known(request, who)
    if isinstance(peer, LocalPeer):
        if peer.user == request.app.state.context.settings.user:  # our own detector's process
            return Caller(peer.user, Role.DETECTOR, BUILTIN)
        return Caller(peer.user, Role.ADMIN, OPERATOR, _forwarded(request))
    if sealed := request.cookies.get(cookie_name(request)):
        return _browser(request, sealed, peer)
    raise AccessError("no token: send Authorization: Bearer TOKEN, or use the Unix socket")


def _from_node(request: Request, peer: NodePeer) -> Caller:
    """The caller of another node, with no more rights than that node has.

    A node that may publish intents could publish any intent anyway, so the role that it names is
    believed. Nobody is an admin of another node, and a node that may not publish is a viewer.
    """
    if request.app.state.context.revoked(peer.name, peer.serial):
        raise AccessError(f"the node {peer.name} was revoked")
    who, role = (request.headers.get(name, "")[:_NAME_MAX] for name in (CALLER, ROLE))
    granted = _ROLES.get(role, Role.VIEWER) if peer.states else Role.VIEWER
    label = who if who.isascii() and who.isprintable() and who else "somebody"
    return Caller(f"{label} ({peer.name})", granted, OPERATOR)


def cookie_name(request: Request) -> str:
    """The name of a session's cookie; the prefix `__Host-` needs https (RFC 6265bis)."""
    return "__Host-xdpctl" if request.url.scheme == "https" else "xdpctl"


def _browser(request: Request, sealed: str, peer: RemotePeer | None) -> Caller:
    """The caller of a session. AccessError for a change without Sec-Fetch-Site or Origin."""
    controller, sessions = request.app.state.context.controller, request.app.state.context.sessions
    if request.method not in ("GET", "HEAD") and not _says_whence(request):
        raise AccessError("a browser must send Sec-Fetch-Site or Origin with a change")
    now = controller.clock.read()
    session = sessions.open(sealed, now.unix)
    address = peer.address if peer else None
    if not session.digest:
        who = Caller(session.user, Role.ADMIN, OPERATOR, address)
    else:
        token = valid(controller.state.tokens_by_digest.get(session.digest), now.unix)
        who = Caller(f"token {token.name}", token.role, token.origin, address)
    return _known(request, who)


def _says_whence(request: Request) -> bool:
    """Whether the request comes from a page of this site.

    RemoteCallers has already refused requests from pages of other sites.
    """
    headers = request.headers
    return headers.get("sec-fetch-site") == "same-origin" or "origin" in headers


def _known(request: Request, who: Caller) -> Caller:
    """The caller, whose token or session is valid.

    An operator's address is protected like that of a user who is logged in.
    """
    request.scope.get(SHOWN, []).append(True)
    if who.address and who.may(Role.OPERATOR) and who.origin == OPERATOR:
        controller = request.app.state.context.controller
        controller.state.called(who.address, controller.clock.read().ns)
    return who


def _forwarded(request: Request) -> Prefix | None:
    """The client of the CLI's ssh login (RFC 7239); trusted only on the Unix socket."""
    match = _FORWARDED_FOR.search(request.headers.get("forwarded", "")[:_FORWARDED_MAX])
    return exact_address(match[1] or match[2] or match[3]) if match else None


class KnownSender:
    """Answers 401 before a body is read, so that an unknown caller cannot send a body slowly.

    The route authenticates again, because a token may be revoked while the body arrives.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != LOGIN and _has_body(scope):
            try:
                caller(Request(scope))
            except AccessError as error:
                if scope["path"].startswith(_FORMS):  # a browser sent it
                    again = RedirectResponse(LOGIN, 303, {"Connection": "close"})
                    await again(scope, receive, send)
                    return
                answer = problems.problem(401, "access", str(error))
                answer.headers["Connection"] = "close"
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def needs(*roles: Role) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency that returns the caller; RoleError if it has none of `roles`."""

    # async, or FastAPI would run it in a thread
    async def dependency(request: Request) -> Caller:
        who = caller(request)
        who.require(*roles)
        return who

    return dependency


async def _unbound(request: Request) -> Caller:
    """A dependency that returns the caller: an operator whose token is not bound to an origin."""
    who = caller(request)
    who.require(Role.OPERATOR)
    who.require_unbound()
    return who


Viewer = Annotated[Caller, Depends(needs(Role.VIEWER))]
Helpdesk = Annotated[Caller, Depends(needs(Role.HELPDESK))]
AnyReader = Annotated[Caller, Depends(needs(Role.VIEWER, Role.HELPDESK))]
Operator = Annotated[Caller, Depends(needs(Role.OPERATOR))]
Unbound = Annotated[Caller, Depends(_unbound)]
Admin = Annotated[Caller, Depends(needs(Role.ADMIN))]
