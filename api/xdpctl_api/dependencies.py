# SPDX-License-Identifier: GPL-2.0-or-later
"""Dependencies of the routes: the control plane, known parameters, and a change's scope."""

from collections.abc import Iterable, Iterator
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel

from xdpctl.control.state.changes import Change
from xdpctl.errors import RuleError
from xdpctl.fleet.answer import Where
from xdpctl.model.shared import Canary, Scope
from xdpctl.model.wait import Wait
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.processes.fleet_link import scope_for
from xdpctl_api.document import STRICT
from xdpctl_api.shapes.fleet import WhereOut, where_out


async def control_plane(request: Request) -> ControlPlane:
    """The control plane of the application."""
    context: ControlPlane = request.app.state.context
    return context


async def known_query(request: Request) -> None:
    """RuleError for a parameter that the call does not have: a typo must not widen a request."""
    if not request.query_params or not request.url.path.startswith(STRICT):
        return  # health checks and Prometheus may add any parameters
    known = frozenset(query_names(request.scope["route"].dependant))
    for name in request.query_params:
        if name not in known:
            fix = f"use {', '.join(sorted(known))}" if known else "this call has no parameters"
            raise RuleError(f"there is no parameter {name[:40]!r}", name[:40], fix)


def query_names(dependant: Dependant) -> Iterator[str]:
    """The names of the parameters that a call may have in its query.

    The OpenAPI document has these names, too, but takes a third of a second to make.
    """
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (info.alias or name for name, info in kind.model_fields.items())
        else:
            yield field.alias
    for inner in dependant.dependencies:
        yield from query_names(inner)


Ctx = Annotated[ControlPlane, Depends(control_plane)]


class Stating:
    """The scope of a change, and what it waits for; `scope` is for `Controller.submit`."""

    def __init__(self, ctx: ControlPlane, scope: str, wait: Wait) -> None:
        self._ctx, self._wait = ctx, wait
        self.scope: Scope = scope_for(ctx.fleet, scope)

    @property
    def here(self) -> bool:
        """Whether the change is for this node, too."""
        fleet = self._ctx.fleet
        if fleet is None or not self.scope or isinstance(self.scope, Canary):
            return True
        return fleet.whereabouts.covers(self.scope)

    async def where(self, change: Change | int | None, keys: Iterable[str]) -> WhereOut | None:
        """Where the change is in force; None without a fleet, or if it is for this node alone."""
        fleet = self._ctx.fleet
        number = change.number if isinstance(change, Change) else change
        if fleet is None or self.scope is None or not number:
            return None
        if isinstance(self.scope, Canary):
            return where_out(Where(0, (fleet.member.name,), first=self.scope.seconds))
        return where_out(await fleet.whereabouts.waited(number, list(keys), self._wait, self.scope))


async def _stating(
    ctx: Ctx,
    scope: Annotated[
        str,
        Query(
            description="In a fleet: all (default), local, node:NAME, group:NAME; or canary:600: "
            "this node tries it alone for ten minutes first"
        ),
    ] = "",
    wait: Annotated[
        Wait, Query(description="In a fleet, what the answer waits for, two seconds at most")
    ] = Wait.ALL,
) -> Stating:
    return Stating(ctx, scope, wait)


States = Annotated[Stating, Depends(_stating)]
