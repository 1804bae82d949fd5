# SPDX-License-Identifier: GPL-2.0-or-later
"""HEAD, and If-None-Match for answers with an ETag (RFC 9110, sections 9.3.2 and 13.1.2).

The ETag of an answer that must not be stored says nothing of its counters: it is for If-Match.
"""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_OK, _NOT_MODIFIED = 200, 304
# what 304 has in common with the answer that it stands for; it has no content
_KEPT = frozenset((b"etag", b"cache-control", b"content-location", b"date", b"expires", b"vary"))


class Conditional:
    """Middleware that answers HEAD as GET without content, and 304 for what the caller has."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass HEAD, and GET with If-None-Match, on with an answer that may be cut."""
        method = scope["method"] if scope["type"] == "http" else ""
        known = Headers(scope=scope).get("if-none-match", "") if method in ("GET", "HEAD") else ""
        if method != "HEAD" and not known:
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, known, method == "HEAD")
        inner = asyncio.ensure_future(self._app({**scope, "method": "GET"}, receive, answer.send))
        cut = asyncio.ensure_future(answer.cut.wait())
        try:
            await asyncio.wait((inner, cut), return_when=asyncio.FIRST_COMPLETED)
            if not inner.done():
                inner.cancel()  # a stream would never end
            await asyncio.gather(inner, return_exceptions=answer.cut.is_set())
        finally:
            cut.cancel()
            inner.cancel()


class _Answer:
    """The answer as it is sent: whole, or its head alone; then `cut` is set."""

    def __init__(self, send: Send, known: str, head: bool) -> None:
        self._send, self._known, self._head = send, known, head
        self.cut = asyncio.Event()

    async def send(self, message: Message) -> None:
        """Send a part of the answer, unless only its head is wanted."""
        if self.cut.is_set():
            return
        if message["type"] != "http.response.start":
            await self._send(message)
            return
        headers = Headers(raw=message.get("headers", []))
        etag = "" if "no-store" in headers.get("cache-control", "") else headers.get("etag", "")
        same = message["status"] == _OK and _matches(self._known, etag)
        if same:
            kept = [pair for pair in headers.raw if pair[0].lower() in _KEPT]
            message = {**message, "status": _NOT_MODIFIED, "headers": kept}
        await self._send(message)
        if same or self._head:
            await self._send({"type": "http.response.body", "body": b""})
            self.cut.set()


def _matches(known: str, etag: str) -> bool:
    """Whether an If-None-Match names the ETag; the comparison is the weak one."""
    named = {each.strip().removeprefix("W/") for each in known.split(",")}
    return bool(etag) and (etag.removeprefix("W/") in named or named == {"*"})
