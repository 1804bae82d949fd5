"""Who is calling: a peer on the Unix socket, or a bearer token (RFC 6750) on TCP."""

import re
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Annotated

from fastapi import Depends, Request

from xdpctl.errors import AccessError
from xdpctl.model import OPERATOR
from xdpctl.prefix import Prefix, parse_address
from xdpctl.tokens import Caller, Role, authenticate

LOCAL = "local:"  # server.py names a Unix socket's peer "local:<user>"
# [v6] and v4 may be followed by a port; an IPv6 address without brackets is against the RFC
_FORWARDED_FOR = re.compile(
    r'for="?(?:\[([^\]]+)\]|(\d+\.\d+\.\d+\.\d+)|([0-9a-f:.]+))', re.IGNORECASE
)


def caller(request: Request) -> Caller:
    """AccessError without a good token; root and the socket's group need none."""
    peer = request.client.host if request.client else ""
    header = request.headers.get("authorization", "")
    if header:
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer":
            raise AccessError("the Authorization header must be: Bearer TOKEN")
        controller = request.app.state.context.controller
        now = controller.clock.read().unix
        token = authenticate(secret.strip(), controller.state.tokens, now)
        address = None if peer.startswith(LOCAL) else _address(peer)
        return Caller(f"token {token.name}", token.role, token.origin, address)
    if peer.startswith(LOCAL):
        return Caller(peer.removeprefix(LOCAL), Role.ADMIN, OPERATOR, _forwarded(request))
    raise AccessError("no token: send Authorization: Bearer TOKEN, or use the Unix socket")


def _forwarded(request: Request) -> Prefix | None:
    """The client behind the CLI's ssh session (RFC 7239); believed on the Unix socket alone."""
    found = _FORWARDED_FOR.search(request.headers.get("forwarded", ""))
    return _address(found[1] or found[2] or found[3]) if found else None


def _address(text: str) -> Prefix | None:
    """As an exact prefix, an IPv4-mapped one as IPv4; None for what is no address."""
    try:
        address = ip_address(text.split("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if address.version == 6 else None
    return parse_address(str(mapped or address), "caller")


def needs(role: Role) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency: the caller, who has `role`."""

    # async, or FastAPI would send it to a thread of its own
    async def dependency(request: Request) -> Caller:
        found = caller(request)
        found.require(role)
        return found

    return dependency


Viewer = Annotated[Caller, Depends(needs(Role.VIEWER))]
Operator = Annotated[Caller, Depends(needs(Role.OPERATOR))]
Admin = Annotated[Caller, Depends(needs(Role.ADMIN))]
