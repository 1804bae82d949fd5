# SPDX-License-Identifier: GPL-2.0-or-later
"""Events as they happen, for live pages."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from xdpctl.errors import AccessError, BusyError
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.auth import Viewer, caller
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals, streamed

router = APIRouter(prefix="/v1/stream", tags=["traffic"])
_MEDIA = "text/event-stream"


@router.get(
    "",
    response_class=StreamingResponse,
    responses={
        200: streamed(
            _MEDIA,
            "Events `figures` (each second), `incident`, `change`, `changes`, `problems`, `missed`",
            binary=False,
        ),
        **refusals(BusyError),
    },
)
async def stream_events(
    request: Request,
    who: Viewer,
    ctx: Ctx,
    last_event_id: Annotated[str, Header(description="Send the events after this one")] = "",
) -> StreamingResponse:
    """Server-sent events, until the caller leaves or the token ends."""
    events = ctx.producer.broadcast.read(last_event_id, who.name)
    first = await anext(events)  # before the answer begins: it may raise BusyError
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _texts(request, ctx, first, events), media_type=_MEDIA, headers=headers
    )


async def _texts(
    request: Request, ctx: ControlPlane, first: bytes, events: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n" + first
    async for text in events:
        if ctx.stopping or not _may_still(request):
            return
        if text:
            yield text


def _may_still(request: Request) -> bool:
    """Whether the caller's token is still valid: it may have ended, or been revoked."""
    try:
        caller(request)
    except AccessError:
        return False
    return True
