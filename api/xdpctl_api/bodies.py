"""What a body may weigh, and reading the large ones."""

import gzip
import zlib
from contextlib import suppress
from io import BytesIO

from fastapi import Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xdpctl_api import problems

_MOST = 65_536
_PIECE = 65_536  # bytes unpacked at once
# these read their bodies themselves, to a limit of their own, once they know who is calling
_OWN_LIMIT = (("POST", "/v1/rules/bulk"), ("PUT", "/v1/sets/"), ("POST", "/v1/hooks/"))


class TooLarge(Exception):
    """The body went over its limit, in bytes, as it came or unpacked."""

    def __init__(self, limit: int, unpacked: bool = False) -> None:
        super().__init__(limit)
        self.limit, self.unpacked = limit, unpacked


async def read_all(request: Request, most: int) -> bytes:
    """The whole body; TooLarge as soon as it is known to be."""
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
    """TooLarge for gzip that unpacks to more; what is damaged is for its reader to tell."""
    size = 0
    with gzip.open(BytesIO(data)) as packed, suppress(OSError, EOFError, zlib.error):
        while piece := packed.read(_PIECE):
            size += len(piece)
            if size > most:
                raise TooLarge(most, unpacked=True)


async def too_large(_: Request, error: Exception) -> Response:
    """413, for a body that its route reads."""
    assert isinstance(error, TooLarge)
    size = f"{error.limit} bytes unpacked" if error.unpacked else f"{error.limit} bytes"
    detail = f"more than {size}; nothing was applied"
    fix = "send less at once; for lists, raise bulk_max_bytes"
    return problems.problem(413, "too-large", detail, fix=fix)


class BodyLimit:
    """413 for a body over the limit, of stated length or chunked, before any route runs."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _limits_itself(scope):
            await self.app(scope, receive, send)
            return
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        messages = [] if int(stated) > _MOST else await _read(receive)
        if messages:
            replay = iter(messages)

            async def replayed() -> Message:
                return next(replay, None) or await receive()

            await self.app(scope, replayed, send)
            return
        detail = f"more than {_MOST} bytes for one object"
        answer = problems.problem(413, "too-large", detail, fix="POST lists to /v1/rules/bulk")
        await answer(scope, receive, send)


def _limits_itself(scope: Scope) -> bool:
    return any(scope["method"] == m and scope["path"].startswith(p) for m, p in _OWN_LIMIT)


async def _read(receive: Receive) -> list[Message]:
    """The whole body's messages; none if it is over the limit."""
    messages: list[Message] = []
    size = 0
    while not messages or messages[-1].get("more_body"):
        messages.append(await receive())
        size += len(messages[-1].get("body", b""))
        if size > _MOST:
            return []
    return messages
