# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of the API by a page, for whoever asked for the page: with their session and rights."""

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import Request
from starlette.types import Receive, Scope, Send

from xdpctl.errors import Refused
from xdpctl_api.transport.callers import PEER

# who asks, and from which page
_PASSED_ON = ("authorization", "cookie", "forwarded", "host", "origin", "sec-fetch-site")


class ApiCalls:
    """The API, called in this process."""

    def __init__(self, request: Request) -> None:
        from httpx import ASGITransport  # late: not every box is looked at

        peer, app = request.scope[PEER], request.app

        async def for_the_caller(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, PEER: peer}, receive, send)

        self._transport = ASGITransport(for_the_caller, raise_app_exceptions=False)
        self._base = f"{request.url.scheme}://xdpctl"
        headers = request.headers
        self._headers = {name: headers[name] for name in _PASSED_ON if name in headers}

    async def get(self, path: str, **params: Any) -> Any:
        """The JSON of an answer; Refused if it is a problem. Parameters that are empty are left."""
        return await self.call("GET", path, params=params)

    async def call(
        self, method: str, path: str, json: Any = None, params: Mapping[str, Any] | None = None
    ) -> Any:
        """The same with any method, and a JSON body."""
        from httpx import Request as ApiRequest

        given = {name: value for name, value in (params or {}).items() if value not in (None, "")}
        body = {} if json is None else {"json": json}
        asked = ApiRequest(
            method, self._base + path, params=given or None, headers=self._headers, **body
        )
        answer = await self._transport.handle_async_request(asked)
        data = await answer.aread()
        found: Any = msgspec.json.decode(data)
        if answer.status_code >= 400:
            raise Refused(found)
        return found
