# SPDX-License-Identifier: GPL-2.0-or-later
"""For whom a change is, and for what its answer waits: the same for every call that changes."""

from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends, Query

from xdpctl.control.state.changes import Change
from xdpctl.model.wait import Wait
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.processes.fleet_link import scope_for
from xdpctl_api.dependencies import Ctx
from xdpctl_api.shapes.fleet import WhereOut, where_out


class Stating:
    """A change of a request; `scope` is for `Controller.submit`."""

    def __init__(self, ctx: ControlPlane, scope: str, wait: Wait) -> None:
        self._ctx, self._wait = ctx, wait
        self.scope = scope_for(ctx.fleet, scope)

    @property
    def here(self) -> bool:
        """Whether the change is for this node, too."""
        fleet = self._ctx.fleet
        return fleet is None or not self.scope or fleet.covers(self.scope)

    async def where(self, change: Change | int | None, keys: Iterable[str]) -> WhereOut | None:
        """Where the change is in force; None without a fleet, or if it is for this node alone."""
        fleet = self._ctx.fleet
        number = change.number if isinstance(change, Change) else change
        if fleet is None or self.scope is None or not number:
            return None
        return where_out(await fleet.waited(number, list(keys), self._wait, self.scope))


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


States = Annotated[Stating, Depends(_stating)]
