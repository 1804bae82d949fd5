# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics for Prometheus."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import Response

from xdpctl.processes.metrics import exposition
from xdpctl_api.auth import Viewer
from xdpctl_api.dependencies import Ctx

_ACCEPT_MAX = 1_000  # characters of the Accept header that are read
router = APIRouter(tags=["system"])
_MEDIA_TYPES = ("text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text")


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "Counters and gauges, named `xdpctl_…`",
            "content": {media: {"schema": {"type": "string"}} for media in _MEDIA_TYPES},
        }
    },
)
async def read_metrics(who: Viewer, ctx: Ctx, accept: Annotated[str, Header()] = "") -> Response:
    """Prometheus text format, or OpenMetrics if `Accept` asks for it."""
    text, media_type = await asyncio.to_thread(exposition, ctx, accept[:_ACCEPT_MAX])
    return Response(text, media_type=media_type)
