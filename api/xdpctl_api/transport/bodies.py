# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits on the size of bodies, and reading of large ones."""

import gzip
import zlib
from contextlib import suppress
from io import BytesIO
from threading import Lock

from fastapi import Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xdpctl.errors import BusyError
from xdpctl_api import problems

_MOST = 65_536
_PIECE = 65_536  # bytes unpacked at once
# routes that authenticate first, and then read their body with a limit of their own
_OWN_LIMIT = (("POST", "/v1/rules/bulk"), ("PUT", "/v1/sets/"), ("POST", "/v1/hooks/"))


class Budget:
    """Limits the memory for bodies of all requests together, in bytes. Thread-safe."""

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0
        self._lock = Lock()

    def take(self, size: int) -> None:
        """Reserve `size` bytes; BusyError if that would exceed the limit."""
        with self._lock:
            if self.held + size > self.most:
                raise BusyError(
                    f"bodies in progress use {self.held >> 20} MiB of {self.most >> 20} MiB; "
                    "retry in a moment"
                )
            self.held += size

    def give(self, size: int) -> None:
        """Release bytes that `take` reserved."""
        with self._lock:
            self.held -= size


class TooLarge(Exception):
    """The body exceeds its limit in bytes, as sent or unpacked."""

    def __init__(self, limit: int, unpacked: bool = False) -> None:
        super().__init__(limit)
        self.limit, self.unpacked = limit, unpacked


async def read_all(request: Request, most: int) -> bytes:
    """The whole body; TooLarge as soon as it exceeds `most` bytes."""
    if int(request.headers.get("content-length", "0")) > most:
        raise TooLarge(most)
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise TooLarge(most)
        pieces.append(piece)
    return b"".join(pieces)


def check_unpacked(data: bytes, most: int) -> None:
    """TooLarge if gzip data unpacks to more than `most` bytes; the parser reports damaged data."""
    size = 0
    with gzip.open(BytesIO(data)) as packed, suppress(OSError, EOFError, zlib.error):
        while piece := packed.read(_PIECE):
            size += len(piece)
            if size > most:
                raise TooLarge(most, unpacked=True)


async def too_large(_: Request, error: Exception) -> Response:
    """Answer 413 for TooLarge of a route that reads its body itself."""
    assert isinstance(error, TooLarge)  # noqa: S101  # registered for this class
    size = f"{error.limit} bytes unpacked" if error.unpacked else f"{error.limit} bytes"
    detail = f"more than {size}; nothing was applied"
    fix = "send less at once; for lists, raise bulk_max_bytes"
    return problems.problem(413, "too-large", detail, fix=fix)


class BodyLimit:
    """Answers 413 for a body over the limit, with a length or chunked, before any route runs."""

    def __init__(self, app: ASGIApp, budget: Budget) -> None:
        self.app, self._budget = app, budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the whole body first, unless the route has a limit of its own."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if _limits_itself(scope):
            await self._budgeted(scope, receive, send)
            return
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        messages = [] if int(stated) > _MOST else await _read(receive)
        if messages:
            replay = iter(messages)

            async def replayed() -> Message:
                return next(replay, None) or await receive()

            await self.app(scope, replayed, send)
            return
        detail = f"the body is larger than {_MOST} bytes"
        answer = problems.problem(413, "too-large", detail, fix="POST lists to /v1/rules/bulk")
        await answer(scope, receive, send)

    async def _budgeted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run a route that reads its body itself; its bytes count until it has answered."""
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            size = len(message.get("body", b""))
            self._budget.take(size)
            taken += size
            return message

        try:
            await self.app(scope, counted, send)
        finally:
            self._budget.give(taken)


def _limits_itself(scope: Scope) -> bool:
    return any(scope["method"] == m and scope["path"].startswith(p) for m, p in _OWN_LIMIT)


async def _read(receive: Receive) -> list[Message]:
    """The messages with the whole body; no messages if it is over the limit."""
    messages: list[Message] = []
    size = 0
    while not messages or messages[-1].get("more_body"):
        messages.append(await receive())
        size += len(messages[-1].get("body", b""))
        if size > _MOST:
            return []
    return messages
