# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes of the embedded detector: what it does, and what it knows of a destination."""

import asyncio

import numpy as np
from fastapi import APIRouter

from xdpctl.abi.constants import FlowState, Reason, Traffic
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.errors import RuleError
from xdpctl.flood.evidence import strongest
from xdpctl.model.expectation import raised, raises
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.processes.detector.status import read_status
from xdpctl.traffic.select import covers
from xdpctl_api.auth import Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals
from xdpctl_api.shapes.detect import DestinationOut, DetectOut, KindOut, detect_out, mitigations_out

router = APIRouter(prefix="/v1/detect", tags=["detectors"])
_SECONDS = 1.0


@router.get("")
async def read_detector(who: Viewer, ctx: Ctx) -> DetectOut:
    """The embedded detector: whether it runs, and what it holds."""
    settings = ctx.settings
    status = await asyncio.to_thread(read_status, settings.detector_status)
    return detect_out(settings.detect.mode, status)


@router.get("/{destination}", responses=refusals(RuleError))
async def read_destination(destination: str, who: Viewer, ctx: Ctx) -> DestinationOut:
    """The usual and the current rates of an address, and the rates from which on it is attacked.

    In a prefix, `_` stands for `/`.
    """
    prefix = parse_prefix(destination.replace("_", "/"), "destination")
    return await asyncio.to_thread(_destination, ctx, prefix)


def _destination(ctx: ControlPlane, prefix: Prefix) -> DestinationOut:
    settings = ctx.settings
    usual = ctx.learnt.read().usual
    current = _rates(ctx, prefix)
    status = read_status(settings.detector_status)
    taught = bool(status and status.taught)
    learning = status.learning if status else settings.detect.learning
    expectations = list(ctx.controller.state.expectations.values())
    expected = raises(expectations, ctx.controller.clock.read().unix)
    kinds = [
        KindOut(
            kind=kind.setting,
            now=current[kind],
            usual=usual.best((prefix, kind)),
            threshold=raised(
                expected,
                prefix,
                kind,
                usual.threshold((prefix, kind), settings.detect.floor(prefix, kind, taught)),
            ),
            floor=settings.detect.floor(prefix, kind, taught),
            mode=settings.detect.most(prefix, kind),
            meets=strongest(kind, settings.detect.most(prefix, kind), learning > 0, taught),
            later=strongest(kind, settings.detect.most(prefix, kind), False, taught),
        )
        for kind in Traffic
    ]
    return DestinationOut(
        destination=str(prefix),
        protected=ctx.ours(prefix),
        learning=learning,
        kinds=kinds,
        mitigations=[
            mitigation
            for mitigation in mitigations_out(status)
            if parse_prefix(mitigation.victim).covers(prefix)
        ],
    )


def _rates(ctx: ControlPlane, prefix: Prefix) -> dict[Traffic, float]:
    """Packets a second by kind that no rule decided, and that belong to no known flow."""
    recent = ctx.sampler.window.last(_SECONDS)
    packets = recent.packets
    chosen = covers(prefix, packets["family"], packets["destination"])
    chosen &= (packets["reason"] == Reason.NO_RULE) & (packets["flow"] != FlowState.KNOWN)
    packets = packets[chosen]
    sums = np.bincount(packets["traffic"], packets["weight"], len(Traffic))
    seconds = max(recent.seconds, _SECONDS)
    return {kind: float(sums[kind]) / seconds for kind in Traffic}
