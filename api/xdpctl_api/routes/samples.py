# SPDX-License-Identifier: GPL-2.0-or-later
"""Samples of live packets, each with its verdict."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import suppress
from functools import lru_cache
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from xdpctl.abi.constants import Reason, SlotNumber
from xdpctl.abi.structs import Capture
from xdpctl.base.clock import Now
from xdpctl.base.net.interfaces import interface_name
from xdpctl.control.capture import CaptureAsk, Capturing, choose
from xdpctl.control.rule_hits import SlotNames, slot_of
from xdpctl.errors import BusyError, NotFoundError
from xdpctl.model.match.match import key_named
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.auth import Operator
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals, streamed
from xdpctl_api.shapes.common import CHOSEN, timestamp

router = APIRouter(prefix="/v1/samples", tags=["samples"])
NDJSON = "application/x-ndjson"


@router.get(
    "",
    response_class=StreamingResponse,
    responses={
        200: streamed(NDJSON, "One packet a line, and `taken` and `lost` on the last"),
        **refusals(NotFoundError, BusyError),
    },
)
async def stream_samples(
    request: Request,
    who: Operator,
    ctx: Ctx,
    verdict: Annotated[
        str,
        Query(description="drop, pass, all, or a reason such as limited", json_schema_extra=CHOSEN),
    ] = "drop",
    rule: Annotated[
        str | None, Query(description="Only packets decided by this rule or set")
    ] = None,
    every: Annotated[
        int, Query(description="Sample one in this many packets; a power of two")
    ] = 64,
    seconds: float = 10.0,
    limit: Annotated[
        int, Query(ge=1, le=10_000_000, description="Stop after this many packets")
    ] = 100_000,
) -> StreamingResponse:
    """Stream NDJSON, one line per packet; the last line has the numbers of `taken` and `lost`."""
    slot = _slot(ctx, rule) if rule is not None else SlotNumber.NONE
    ask = CaptureAsk(choose(verdict), every, slot, seconds, limit)
    capturing, disconnected = ctx.captures.begin(ask), threading.Event()
    batches = capturing.batches(lambda: not (disconnected.is_set() or ctx.stopping))
    # before the answer begins, because this may raise BusyError
    first = await asyncio.to_thread(next, batches, None)
    return StreamingResponse(
        _stream(request, ctx, capturing, batches, first, disconnected), media_type=NDJSON
    )


async def _stream(
    request: Request,
    ctx: ControlPlane,
    capturing: Capturing,
    batches: Generator[list[Capture]],
    batch: list[Capture] | None,
    disconnected: threading.Event,
) -> AsyncIterator[bytes]:
    """Yield batches that a thread reads, from `batch` on; ends when the caller disconnects."""
    formatter = _Formatter(ctx)
    try:
        while batch is not None:
            if batch:
                yield b"".join(map(formatter.line, batch))
            if await request.is_disconnected():
                return
            batch = await asyncio.to_thread(next, batches, None)
        yield _line({"taken": capturing.taken, "lost": capturing.lost})
    finally:
        disconnected.set()
        # ValueError: a thread still reads the next batch; it stops when it sees `disconnected`
        with suppress(ValueError):
            batches.close()


def _line(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def _slot(ctx: ControlPlane, rule: str) -> int:
    """The slot of a rule, by its id or source, or of a set; NotFoundError if there is none."""
    state = ctx.controller.state
    record = None if rule in state.sets else state.record(key_named(rule))
    slot = slot_of(state, record) if record else state.sets[rule].slot if rule in state.sets else 0
    if not slot:
        raise NotFoundError(f"there is no rule or set {rule!r} in the kernel")
    return slot


class _Formatter:
    """Formats captures as lines of NDJSON, with names instead of numbers."""

    def __init__(self, ctx: ControlPlane) -> None:
        self._now: Now = ctx.controller.clock.read()
        self.interface = lru_cache(64)(interface_name)
        self.rule = SlotNames(ctx.controller.state).name

    def line(self, capture: Capture) -> bytes:
        reason = Reason(capture.reason)
        data = capture.head[: min(capture.length, len(capture.head))]
        return _line(
            {
                "time": timestamp(self._now.wall(capture.time_ns)).isoformat(),
                "interface": self.interface(capture.interface),
                "verdict": reason.verdict,
                "reason": reason.name.lower(),
                "rule": self.rule(capture.slot),
                "length": capture.length,
                "data": data.hex(),
            }
        )
