# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of the host: status, interfaces, counters, health, and the emergency bypass."""

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from xdpctl import __version__
from xdpctl.errors import BusyError
from xdpctl.model.source_set import count
from xdpctl_api.auth import Unbound, Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.shapes.common import timestamp
from xdpctl_api.shapes.system import BypassIn, BypassOut
from xdpctl_api.transport.connection import GONE

router = APIRouter(tags=["system"])


@router.get("/v1/status")
async def status(who: Viewer, ctx: Ctx) -> dict[str, Any]:
    """Status of the host; `problems` is empty if it is ready."""
    state, datapath = ctx.controller.state, ctx.controller.datapath
    return {
        "version": __version__,
        "started_at": timestamp(ctx.started),
        "uptime": time.time() - ctx.started,
        "problems": ctx.problems(),
        "warnings": ctx.warnings(),
        "bypass": datapath.bypass(),
        "rules": {
            "total": len(state.rules),
            "by_origin": {o: n for o, n in list(state.origins.items()) if n},
            "capacity": datapath.capacity,
            "fill": 1 - state.room / datapath.capacity,
        },
        "sets": {name: count(entries) for name, entries in list(state.entries.items())},
        "tables": [
            {"name": f.name, "used": f.used, "capacity": f.capacity, "fill": f.share}
            for f in ctx.fills()
        ],
        "kernel_memory": datapath.memory(),
        "protected": [
            {"prefix": str(prefix), "why": why} for prefix, why in state.protection.why.items()
        ],
        "interfaces": loader.ports if (loader := ctx.loader()) else {},
    }


@router.get("/v1/interfaces")
async def interfaces(who: Viewer, ctx: Ctx) -> dict[str, Any]:
    """Each configured interface: its state, its XDP mode, and why it is not native."""
    loader = ctx.loader()
    if loader is None:
        return {"loader": {}, "interfaces": {}}
    protect = {str(prefix): why for prefix, why in loader.protect.items()}
    return {"loader": {"pid": loader.pid, "protect": protect}, "interfaces": loader.ports}


@router.get("/v1/counters")
async def counters(who: Viewer, ctx: Ctx) -> dict[str, Any]:
    """Packets and bytes by reason, per interface and in total, since the maps were created."""
    found = await asyncio.to_thread(ctx.controller.datapath.counters)
    ports: dict[str, dict[str, dict[str, int]]] = {}
    total: dict[str, dict[str, int]] = {}
    for name, by_reason in found.items():
        for reason, hits in by_reason.items():
            entry = {"packets": hits.packets, "bytes": hits.bytes, "verdict": reason.verdict}
            ports.setdefault(name, {})[reason.name.lower()] = entry  # type: ignore[assignment]
            both = total.setdefault(reason.name.lower(), {"packets": 0, "bytes": 0})
            both["packets"] += hits.packets
            both["bytes"] += hits.bytes
    return {"total": total, "interfaces": ports}


@router.post("/v1/notifications/test")
async def test_notifications(who: Unbound, ctx: Ctx) -> dict[str, list[bool]]:
    """Send a test message to each of notify.urls; `taken` says, in order, which accepted it."""
    return {"taken": await asyncio.to_thread(ctx.dispatcher.test)}


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Liveness: the process answers."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "Not ready, with the problems"}})
async def readyz(ctx: Ctx) -> JSONResponse:
    """Readiness: new rules are accepted and applied everywhere; 503 lists the problems."""
    problems = ctx.problems()
    return JSONResponse(
        {"ready": not problems, "problems": problems}, status_code=503 if problems else 200
    )


@router.get("/v1/bypass")
async def read_bypass(who: Viewer, ctx: Ctx) -> dict[str, bool]:
    """Whether the emergency bypass is on: all traffic passes."""
    return {"on": ctx.controller.datapath.bypass()}


@router.post("/v1/bypass")
async def set_bypass(body: BypassIn, who: Unbound, ctx: Ctx, request: Request) -> BypassOut:
    """Switch the emergency bypass on (all traffic passes) or off, with one map write.

    Nothing is done if the caller has disconnected: they may have changed their mind since.
    """
    gone = request.scope.get(GONE)
    if gone and gone():
        raise BusyError("the caller has disconnected; nothing was done")
    audited = await asyncio.wrap_future(ctx.controller.set_bypass(body.on, who.name))
    return BypassOut(on=ctx.controller.datapath.bypass(), audited=audited)
