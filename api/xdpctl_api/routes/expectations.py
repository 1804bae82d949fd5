# SPDX-License-Identifier: GPL-2.0-or-later
"""Traffic that an operator expects: the embedded detector does not act on it."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from xdpctl.control.operations import expectations
from xdpctl.control.state.draft import Draft
from xdpctl.errors import CapacityError, ConflictError, NotFoundError
from xdpctl.mitigation import legitimate
from xdpctl.model.expectation import Expectation
from xdpctl.model.identity import Caller, Role
from xdpctl.model.rule import BUILTIN
from xdpctl_api.auth import Operator, Unbound, caller
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import CHANGE, refusals
from xdpctl_api.shapes.common import seconds
from xdpctl_api.shapes.expectations import (
    AllowedOut,
    ExpectationIn,
    ExpectationList,
    ExpectationOut,
    expectation_out,
)

router = APIRouter(prefix="/v1")


async def _reader(request: Request) -> Caller:
    """A viewer, or our own detector. Other detectors must not learn when more traffic passes."""
    who = caller(request)
    if (who.role, who.origin) != (Role.DETECTOR, BUILTIN):
        who.require(Role.VIEWER)
    return who


Reader = Annotated[Caller, Depends(_reader)]


@router.get("/expectations", tags=["detectors"])
async def list_expectations(who: Reader, ctx: Ctx) -> ExpectationList:
    """List the traffic that is expected."""
    unix = ctx.controller.clock.read().unix
    items = sorted(ctx.controller.state.expectations.items())
    return ExpectationList(
        expectations=[expectation_out(expectation, unix) for _, expectation in items]
    )


@router.post(
    "/expectations",
    tags=["detectors"],
    status_code=201,
    responses=refusals(ConflictError, CapacityError, *CHANGE),
)
async def add_expectation(
    body: ExpectationIn, who: Operator, whole: Unbound, ctx: Ctx
) -> ExpectationOut:
    """Expect traffic up to a rate, always or at times: it starts no mitigation."""
    lasts = seconds(body.lasts, "for") or 0.0
    fields = body.model_dump(exclude={"lasts", "days"})
    unix = ctx.controller.clock.read().unix
    expectation = Expectation(
        **fields, seconds=lasts, days=tuple(body.days), by=who.name, created_at=round(unix, 3)
    )
    expectation.check()
    future = ctx.controller.submit(lambda draft: expectations.add(draft, expectation, who))
    return expectation_out(await asyncio.wrap_future(future), unix)


@router.delete(
    "/expectations/{name}", tags=["detectors"], responses=refusals(NotFoundError, *CHANGE)
)
async def remove_expectation(name: str, who: Operator, whole: Unbound, ctx: Ctx) -> ExpectationOut:
    """Remove an expectation."""
    future = ctx.controller.submit(lambda draft: expectations.remove(draft, name, who))
    return expectation_out(await asyncio.wrap_future(future), ctx.controller.clock.read().unix)


@router.post(
    "/incidents/{incident_id}/allow",
    tags=["incidents"],
    responses=refusals(NotFoundError, ConflictError, *CHANGE),
)
async def allow_incident(incident_id: str, who: Operator, whole: Unbound, ctx: Ctx) -> AllowedOut:
    """End the automatic rules of an incident that was legitimate, and expect as much from now."""

    def operation(draft: Draft) -> tuple[list[str], list[Expectation]]:
        return legitimate.allow(draft, incident_id, who, ctx.controller.hits)

    change = ctx.controller.change_by(who)
    removed, expected = await asyncio.wrap_future(ctx.controller.submit(operation, change))
    unix = ctx.controller.clock.read().unix
    return AllowedOut(removed=removed, expected=[expectation_out(e, unix) for e in expected])
