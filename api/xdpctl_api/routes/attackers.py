# SPDX-License-Identifier: GPL-2.0-or-later
"""Which hosts inside attack others, and their limits."""

import asyncio

from fastapi import APIRouter

from xdpctl.base.net.prefix import parse_prefix, text_of
from xdpctl.errors import RuleError
from xdpctl_api.auth import Unbound, Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals
from xdpctl_api.shapes.attackers import (
    AttackerList,
    LimitsEnded,
    attacker_out,
    forger_out,
    limit_out,
)

_FORGERS = 100  # in an answer
router = APIRouter(prefix="/v1", tags=["traffic"])


@router.get("/attackers")
async def attackers(who: Viewer, ctx: Ctx) -> AttackerList:
    """The hosts inside that have attacked others in the last ten minutes, and their limits.

    With `outside.source_validation`, also who has sent with forged sources in the last hour.
    """
    watch, forgers = ctx.attackers, ctx.validation.recent()
    now = ctx.controller.clock.read()  # after the map: nothing in it is later
    return AttackerList(
        attackers=[attacker_out(each, ctx.names, now.ns, now.unix) for each in watch.recent()],
        limits=[limit_out(each, ctx.names, now.ns) for each in watch.policing.limits()],
        forgers=[forger_out(each, now.ns) for each in forgers[:_FORGERS]],
    )


@router.delete("/attackers/{address}/limits", responses=refusals(RuleError))
async def release_attacker(address: str, who: Unbound, ctx: Ctx) -> LimitsEnded:
    """End all limits of a host inside, and begin none for an hour. It may have none yet."""
    host = parse_prefix(address, "address")
    if not host.exact:
        raise RuleError(f"{address} is a network", "address", "give the address of one host")
    ended = await asyncio.wrap_future(
        ctx.controller.submit(lambda draft: ctx.attackers.policing.release(draft, host, who))
    )
    return LimitsEnded(
        address=text_of(host), limits=[ctx.names.tell(str(limit)) for limit in ended]
    )
