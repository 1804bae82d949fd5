# SPDX-License-Identifier: GPL-2.0-or-later
"""What an operator expects: the embedded detector does nothing about it."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from xdpctl.control.operations import expectations
from xdpctl.control.state.draft import Draft
from xdpctl.detectors.registry import BUILTIN
from xdpctl.errors import CapacityError, ConflictError, NotFoundError
from xdpctl.mitigation import legitimate
from xdpctl.model.expectation import Expectation
from xdpctl.model.identity import Caller, Role
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
    """Our own detector asks, too; others need not know when more is let in."""
    who = caller(request)
    if (who.role, who.origin) != (Role.DETECTOR, BUILTIN):
        who.require(Role.VIEWER)
    return who


Reader = Annotated[Caller, Depends(_reader)]


@router.get("/expectations", tags=["detectors"])
async def list_expectations(who: Reader, ctx: Ctx) -> ExpectationList:
    """List what is expected."""
    unix = ctx.controller.clock.read().unix
    held = sorted(ctx.controller.state.expectations.items())
    return ExpectationList(expectations=[expectation_out(each, unix) for _, each in held])


@router.post(
    "/expectations",
    tags=["detectors"],
    status_code=201,
    responses=refusals(ConflictError, CapacityError, *CHANGE),
)
async def add_expectation(
    body: ExpectationIn, who: Operator, whole: Unbound, ctx: Ctx
) -> ExpectationOut:
    """Expect traffic up to a rate, always or at times: it starts nothing."""
    lasts = seconds(body.lasts, "for") or 0.0
    given = body.model_dump(exclude={"lasts", "days"})
    unix = ctx.controller.clock.read().unix
    asked = Expectation(
        **given, seconds=lasts, days=tuple(body.days), by=who.name, created_at=round(unix, 3)
    )
    asked.check()
    done = ctx.controller.submit(lambda draft: expectations.add(draft, asked, who))
    return expectation_out(await asyncio.wrap_future(done), unix)


@router.delete(
    "/expectations/{name}", tags=["detectors"], responses=refusals(NotFoundError, *CHANGE)
)
async def remove_expectation(name: str, who: Operator, whole: Unbound, ctx: Ctx) -> ExpectationOut:
    """Remove an expectation."""
    done = ctx.controller.submit(lambda draft: expectations.remove(draft, name, who))
    return expectation_out(await asyncio.wrap_future(done), ctx.controller.clock.read().unix)


@router.post(
    "/incidents/{incident_id}/allow",
    tags=["incidents"],
    responses=refusals(NotFoundError, ConflictError, *CHANGE),
)
async def allow_incident(incident_id: str, who: Operator, whole: Unbound, ctx: Ctx) -> AllowedOut:
    """It was legitimate: end the automatic rules of an incident, and expect as much from now."""

    def operation(draft: Draft) -> tuple[list[str], list[Expectation]]:
        return legitimate.allow(draft, incident_id, who, ctx.controller.hits)

    change = ctx.controller.change_by(who)
    removed, expected = await asyncio.wrap_future(ctx.controller.submit(operation, change))
    unix = ctx.controller.clock.read().unix
    return AllowedOut(removed=removed, expected=[expectation_out(e, unix) for e in expected])
