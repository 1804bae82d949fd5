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
from xdpctl.processes.fleet_link import spread_bypass
from xdpctl_api.auth import Unbound, Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals
from xdpctl_api.shapes.common import ProtectedOut, timestamp
from xdpctl_api.shapes.fleet import where_out
from xdpctl_api.shapes.flows import challenges_out, flow_memory_out, interfaces_out
from xdpctl_api.shapes.host import (
    BypassState,
    CountersOut,
    FindingOut,
    FindingsOut,
    HealthOut,
    HitsOut,
    InterfacesOut,
    LoaderOut,
    NotifiedOut,
    ReadyOut,
    ReasonHitsOut,
    RuleTotals,
    StatusOut,
    TableOut,
)
from xdpctl_api.shapes.system import BypassIn, BypassOut
from xdpctl_api.transport.connection import GONE

router = APIRouter(tags=["system"])
_OPEN: dict[str, Any] = {"security": []}  # no token is needed


@router.get("/v1/status")
async def read_status(who: Viewer, ctx: Ctx) -> StatusOut:
    """Status of the host; `problems` is empty if it is ready."""
    state, datapath = ctx.controller.state, ctx.controller.datapath
    return StatusOut(
        version=__version__,
        started_at=timestamp(ctx.started),
        uptime=time.time() - ctx.started,
        problems=ctx.health.problems(),
        warnings=ctx.health.warnings(),
        expected=[
            str(expectation)
            for expectation in list(state.expectations.values())
            if expectation.now(ctx.controller.clock.read().unix)
        ],
        bypass=datapath.bypass(),
        rules=RuleTotals(
            total=len(state.rules),
            by_origin={o: n for o, n in list(state.origins.items()) if n},
            capacity=datapath.capacity,
            fill=1 - state.room / datapath.capacity,
        ),
        sets={name: count(entries) for name, entries in list(state.entries.items())},
        tables=[
            TableOut(name=f.name, used=f.used, capacity=f.capacity, fill=f.share)
            for f in ctx.health.fills()
        ],
        kernel_memory=dict(datapath.memory()),
        protected=[
            ProtectedOut(prefix=str(prefix), why=why)
            for prefix, why in state.protection.why.items()
        ],
        interfaces=interfaces_out(ctx, ctx.loader.read()),
        flow_memory=flow_memory_out(datapath.flows),
        challenges=challenges_out(datapath.flows),
    )


@router.get("/v1/interfaces", response_model_exclude_unset=True)
async def read_interfaces(who: Viewer, ctx: Ctx) -> InterfacesOut:
    """Each configured interface: its state, its XDP mode, and why it is not native."""
    loader = ctx.loader.read()
    if loader is None:
        return InterfacesOut(loader=LoaderOut(), interfaces={})
    protect = {str(prefix): why for prefix, why in loader.protect.items()}
    report = LoaderOut(pid=loader.pid, protect=protect)
    return InterfacesOut(loader=report, interfaces=interfaces_out(ctx, loader))


@router.get("/v1/doctor")
async def read_findings(who: Viewer, ctx: Ctx) -> FindingsOut:
    """The findings of `doctor`, from the last time that the loader, which is root, ran it."""
    loader = ctx.loader.read()
    fields = FindingOut.model_fields
    findings = loader.findings if loader else ()
    return FindingsOut(
        findings=[
            FindingOut.model_validate({name: finding.get(name, "") for name in fields})
            for finding in findings
        ]
    )


@router.get("/v1/counters")
async def read_counters(who: Viewer, ctx: Ctx) -> CountersOut:
    """Packets and bytes by reason, per interface and in total, since the maps were created."""
    counters = await asyncio.to_thread(ctx.controller.datapath.counters)
    ports: dict[str, dict[str, ReasonHitsOut]] = {}
    total: dict[str, HitsOut] = {}
    for name, by_reason in counters.items():
        for reason, hits in by_reason.items():
            key = reason.name.lower()
            entry = ReasonHitsOut(packets=hits.packets, bytes=hits.bytes, verdict=reason.verdict)
            ports.setdefault(name, {})[key] = entry
            both = total.setdefault(key, HitsOut(packets=0, bytes=0))
            both.packets += hits.packets
            both.bytes += hits.bytes
    return CountersOut(total=total, interfaces=ports)


@router.post("/v1/notifications/test")
async def test_notifications(who: Unbound, ctx: Ctx) -> NotifiedOut:
    """Send a test message to each of notify.urls and notify.webhooks; `taken` is their answers."""
    return NotifiedOut(taken=await asyncio.to_thread(ctx.dispatcher.test))


@router.get("/healthz", openapi_extra=_OPEN)
async def read_health() -> HealthOut:
    """Liveness: the process answers."""
    return HealthOut(status="ok")


@router.get(
    "/readyz",
    response_model=ReadyOut,
    responses={503: {"model": ReadyOut, "description": "Not ready, with the problems"}},
    openapi_extra=_OPEN,
)
async def read_readiness(ctx: Ctx) -> JSONResponse:
    """Readiness: new rules are accepted and applied on this host; 503 lists the problems.

    What is wrong with the fleet is listed too, and does not make a host unready: it goes on alone.
    """
    problems, fleet = ctx.health.problems(), ctx.fleet
    answer = {"ready": not problems, "problems": problems}
    if fleet is not None:
        # no token is needed here, so no names and addresses are said
        wrong = len(fleet.watching.troubles())
        answer["fleet"] = [f"troubles of the fleet: {wrong}; xdpctl fleet status"] if wrong else []
    return JSONResponse(answer, status_code=503 if problems else 200)


@router.get("/v1/bypass")
async def read_bypass(who: Viewer, ctx: Ctx) -> BypassState:
    """Whether the emergency bypass is on: all traffic passes."""
    return BypassState(on=ctx.controller.datapath.bypass())


@router.post("/v1/bypass", responses=refusals(BusyError))
async def set_bypass(body: BypassIn, who: Unbound, ctx: Ctx, request: Request) -> BypassOut:
    """Switch the emergency bypass on (all traffic passes) or off, with one map write.

    Nothing is done if the caller has disconnected: they may have changed their mind since.
    """
    disconnected = request.scope.get(GONE)
    if disconnected and disconnected():
        raise BusyError("the caller has disconnected; nothing was done")
    audited = await asyncio.wrap_future(ctx.controller.set_bypass(body.on, who.name))
    where = None
    if body.fleet:
        where = await asyncio.to_thread(spread_bypass, ctx.fleet, body.on, who.name)
    return BypassOut(
        on=ctx.controller.datapath.bypass(),
        audited=audited,
        fleet=where_out(where) if where else None,
    )
