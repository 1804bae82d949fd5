# SPDX-License-Identifier: GPL-2.0-or-later
"""For whom a change is, and for what its answer waits: the same for every call that changes."""

import asyncio
from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends, Query

from xdpctl.control.state.changes import Change
from xdpctl.errors import RuleError
from xdpctl.model.wait import Wait
from xdpctl.service.control_plane import ControlPlane
from xdpctl_api.dependencies import Ctx
from xdpctl_api.shapes.fleet import WhereOut, where_out

LOCAL = "local"


class Stating:
    """A change of a request; `scope` is for `Controller.submit`."""

    def __init__(self, ctx: ControlPlane, scope: str, wait: Wait) -> None:
        self._ctx, self._wait = ctx, wait
        self.scope = ctx.check_scope(scope)

    async def where(self, change: Change | int | None, keys: Iterable[str]) -> WhereOut | None:
        """Where the change is in force; None without a fleet, or if it is for this node alone."""
        fleet, number = self._ctx.fleet, change if isinstance(change, int) else None
        if isinstance(change, Change):
            number = change.number
        if fleet is None or self.scope is None or number is None:
            return None
        named = list(keys)
        return where_out(await asyncio.to_thread(fleet.wait, number, named, self._wait))


async def _stating(
    ctx: Ctx,
    scope: Annotated[
        str,
        Query(description="In a fleet: all (default), local, node:NAME or group:NAME"),
    ] = "",
    wait: Annotated[
        Wait, Query(description="In a fleet, what the answer waits for, two seconds at most")
    ] = Wait.ALL,
) -> Stating:
    return Stating(ctx, scope, wait)


async def everywhere(ctx: Ctx) -> Stating:
    """A change for all, without a choice."""
    return Stating(ctx, "", Wait.ALL)


States = Annotated[Stating, Depends(_stating)]


def refuse_local(stating: Stating) -> None:
    """RuleError for a scope where there is nothing to choose."""
    if stating.scope is None:
        raise RuleError("this is for the whole fleet", "scope", "leave scope out")
