# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of the API by a page, with the session and the rights of the page's caller."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from fastapi import Request
from starlette.types import Receive, Scope, Send

from xdpctl.errors import NotFoundError, Refused
from xdpctl_api.auth import cookie_name
from xdpctl_api.transport.callers import PEER

_NODE_MAX = 32  # characters
# These headers name the caller and the calling page. Only the session's cookie is passed on.
_PASSED_ON = (b"authorization", b"forwarded", b"host", b"origin", b"sec-fetch-site")


def node_of(request: Request) -> str:
    """The node that a page shows: another node of the fleet, "all", or "" for this node."""
    node = request.query_params.get("node", "")[:_NODE_MAX]
    fleet = request.app.state.context.fleet
    return "" if fleet is None or node == fleet.member.name else node


class ApiCalls:
    """The API, called in this process."""

    def __init__(self, request: Request) -> None:
        from httpx2 import ASGITransport  # imported late: many boxes never serve a page

        peer, app = request.scope[PEER], request.app

        async def for_the_caller(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, PEER: peer}, receive, send)

        self._transport = ASGITransport(for_the_caller, raise_app_exceptions=False)
        self._base = f"{request.url.scheme}://xdpctl"
        self._headers = [header for header in request.scope["headers"] if header[0] in _PASSED_ON]
        if node := node_of(request):
            self._headers.append((b"xdpctl-node", node.encode("ascii", "replace")))
        if sealed := request.cookies.get(cookie_name(request)):
            cookie = f"{cookie_name(request)}={sealed}"
            self._headers.append((b"cookie", cookie.encode("latin-1", "replace")))

    async def get(self, path: str, **params: Any) -> Any:
        """The JSON of an answer; Refused if it is a problem. Empty parameters are left out."""
        return await self.call("GET", path, params=params)

    async def call(
        self,
        method: str,
        path: str,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        etag: str = "",
    ) -> Any:
        """As `get`, with any method and a JSON body; `etag` is sent as If-Match."""
        from httpx2 import Request as ApiRequest

        query = {name: value for name, value in (params or {}).items() if value not in (None, "")}
        body = {} if json is None else {"json": json}
        headers = [*self._headers, *([(b"if-match", etag.encode())] if etag else [])]
        api_request = ApiRequest(
            method, self._base + path, params=query or None, headers=headers, **body
        )
        answer = await self._transport.handle_async_request(api_request)
        data = await answer.aread()
        try:
            content: Any = msgspec.json.decode(data)
        except msgspec.DecodeError as error:  # not JSON: an odd id in the path led to a redirect
            raise NotFoundError(f"there is no {path[:80]!r}") from error
        if answer.status_code >= 400:
            raise Refused(content)
        return content


def segment(text: str) -> str:
    """A text as one part of a path; NotFoundError if it would lead to another path."""
    if text in (".", ".."):
        raise NotFoundError(f"there is no {text!r}")
    return quote(text, safe=":")
