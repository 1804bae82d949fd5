# SPDX-License-Identifier: GPL-2.0-or-later
"""Middleware of the two listeners, which records whether a caller is local or remote.

Only the listening socket decides that. The result is in the ASGI scope, under a key that no
header, address or query can set.
"""

import hashlib
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from xdpctl.base.net.prefix import Prefix, exact_address
from xdpctl.fleet import offer
from xdpctl_api import problems
from xdpctl_api.transport.admission import Pace

PEER = "xdpctl.peer"
SHOWN = "xdpctl.shown"  # key of a list in the scope: the results of checks of the credential
JOINING = "/fleet/joining/"
_IDENTITY = re.compile(r"[0-9a-f]{16}")
_FOR_STRANGERS = frozenset(("/login", "/openapi.json"))
_CREDENTIALS = frozenset((b"authorization", b"cookie"))
_GOOD_MAX = 1_024
_PREFIX6 = 8  # bytes of an IPv6 address that identify a network
_PORT = re.compile(r":[0-9]{1,5}\Z")


def network_of(address: str) -> bytes:
    """The network by which a TCP client is counted: its IPv4 address, or its IPv6 /64."""
    ip = ip_address(address.split("%")[0])
    mapped = ip.ipv4_mapped if ip.version == 6 else None
    packed = (mapped or ip).packed
    return packed[:_PREFIX6] if len(packed) == 16 else packed


def _network(scope: Scope) -> Prefix | None:
    address: Prefix | None = scope[PEER].address
    return address and address.widened(min(address.length, 64))


async def _busy(scope: Scope, receive: Receive, send: Send) -> None:
    """429 (RFC 6585 section 4) without a body, and the end of the connection."""
    headers = [(b"content-length", b"0"), (b"retry-after", b"5"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


@dataclass(frozen=True, slots=True)
class LocalPeer:
    """A process on the other end of the Unix socket, named by the kernel (SO_PEERCRED)."""

    user: str


@dataclass(frozen=True, slots=True)
class RemotePeer:
    """A client on TCP; `address` is None if it cannot be known."""

    address: Prefix | None


@dataclass(frozen=True, slots=True)
class NodePeer:
    """Another node of the fleet, with the name and the serial number in its certificate.

    `states`: the node may publish intents.
    """

    name: str
    states: bool
    serial: int


class NodeCallers:
    """For the listener of the fleet: identifies nodes by certificate, and serves joining nodes."""

    def __init__(self, app: ASGIApp, joining: Path) -> None:
        self._app, self._joining = app, joining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the node into the scope. Without a certificate, a client gets a sealed bundle."""
        name, states, serial = scope.get("client") or ("", 0, 0)
        if name:
            scope[PEER] = NodePeer(name, bool(states), serial)
            await self._app(scope, receive, send)
            return
        await self._sealed(scope["path"])(scope, receive, send)

    def _sealed(self, path: str) -> Response:
        """The sealed bundle of a token, until it expires; a request with its proof deletes it."""
        identity, _, proof = path.removeprefix(JOINING).partition("/")
        bundle = self._joining / identity
        if path.startswith(JOINING) and _IDENTITY.fullmatch(identity) and bundle.is_file():
            offered = offer.decode(bundle.read_bytes())
            if offered is None or offered.ends < time.time():
                bundle.unlink(missing_ok=True)
            elif not proof:
                return Response(offered.sealed, media_type="application/octet-stream")
            elif hmac.compare_digest(proof.encode(), offered.proof.encode()):
                bundle.unlink(missing_ok=True)
                return Response(status_code=204)
        return problems.problem(401, "access", "no certificate of a node of this fleet")


class LocalCallers:
    """For the Unix socket, whose file permissions decide who may connect."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the local user's name into the scope."""
        client = scope.get("client")
        scope[PEER] = LocalPeer(client[0] if client else "unknown")
        await self._app(scope, receive, send)


class Hosts:
    """The host names under which the API may be reached over TCP.

    Address literals are always allowed, because DNS rebinding needs a name.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower().rstrip(".") for name in ("localhost", *names) if name)

    def allows(self, authority: str) -> bool:
        """Whether `authority`, a host with or without a port, names this API."""
        host = authority.lower()
        if host.startswith("["):
            host, closed, port = host[1:].partition("]")
            return bool(closed and exact_address(host)) and (
                not port or bool(_PORT.fullmatch(port))
            )
        host = _PORT.sub("", host).rstrip(".")
        return host in self._names or exact_address(host) is not None


class Strangers:
    """Limits how often callers without a valid token or session may ask, by network.

    Requests without a token or session, and requests with an invalid one, are counted separately.
    Requests with a valid one are not counted, so others in a network cannot lock its owner out.
    """

    def __init__(self) -> None:
        self._pace = Pace()
        self._good: OrderedDict[bytes, None] = OrderedDict()  # in order of their last use

    def may_ask(self, scope: Scope) -> bool:
        """Whether a request may be answered; this is decided before any work."""
        scope[SHOWN] = []
        credential = _shown(scope)
        if credential in self._good:
            return True
        peer = _network(scope), bool(credential)
        return self._pace.allows(peer, time.monotonic(), 0 if credential else 1)

    def answered(self, scope: Scope) -> None:
        """Remember the credential if it was valid; else count the request.

        A request that needs no caller, such as one for a page's script, does not check the
        credential. Then the result of the last check still applies.
        """
        credential = _shown(scope)
        if not credential:
            return
        was_good = credential in self._good
        self._good.pop(credential, None)
        if scope[SHOWN][-1] if scope[SHOWN] else was_good:
            self._good[credential] = None
            while len(self._good) > _GOOD_MAX:
                self._good.popitem(last=False)
        else:
            self._pace.allows((_network(scope), True), time.monotonic())


def _shown(scope: Scope) -> bytes:
    """A digest of a request's token and cookies; empty if it has none, or its path needs none."""
    if scope["path"] in _FOR_STRANGERS:
        return b""
    values = [value for name, value in scope["headers"] if name in _CREDENTIALS]
    return hashlib.sha256(b"\0".join(values)).digest() if values else b""


class RemoteCallers:
    """For TCP: refuses requests for another host name, or from a page of another site.

    Limits the requests of callers without a valid token or session, by network.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app, self._hosts, self._strangers = app, hosts, Strangers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Put the remote address into the scope; answer 421 or 403 for another host or site."""
        client = scope.get("client")
        scope[PEER] = RemotePeer(exact_address(client[0]) if client else None)
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not self._strangers.may_ask(scope):
            await _busy(scope, receive, send)
            return
        refusal = self._refusal(scope)
        app = problems.problem(*refusal) if refusal else self._app
        try:
            await app(scope, receive, send)
        finally:
            self._strangers.answered(scope)

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        """Status, kind and detail of a refusal; None if the request is allowed."""
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or not self._hosts.allows(hosts[0]):
            name = repr(hosts[0][:80]) if len(hosts) == 1 else f"{len(hosts)} Host headers"
            detail = f"this API is not available as {name}; add the name to listen.names"
            return 421, "host", detail
        for origin in _values(scope, b"origin"):
            if origin.lower() not in (f"http://{hosts[0]}".lower(), f"https://{hosts[0]}".lower()):
                return 403, "cross-site", f"a page of {origin[:80]!r} may not use this API"
        for site in _values(scope, b"sec-fetch-site"):
            if site not in ("same-origin", "none"):
                return 403, "cross-site", "a page of another site may not use this API"
        return None


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
