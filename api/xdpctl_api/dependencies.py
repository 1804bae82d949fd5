# SPDX-License-Identifier: GPL-2.0-or-later
"""Dependencies of the routes."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel

from xdpctl.errors import RuleError
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.document import STRICT


async def control_plane(request: Request) -> ControlPlane:
    """The control plane of the application."""
    found: ControlPlane = request.app.state.context
    return found


async def known_query(request: Request) -> None:
    """RuleError for a parameter that the call does not have: a typo must not widen a request."""
    if not request.query_params or not request.url.path.startswith(STRICT):
        return  # health checks and scrapes may carry what they like
    known = frozenset(query_names(request.scope["route"].dependant))
    for name in request.query_params:
        if name not in known:
            fix = f"use {', '.join(sorted(known))}" if known else "this call has no parameters"
            raise RuleError(f"there is no parameter {name[:40]!r}", name[:40], fix)


def query_names(dependant: Dependant) -> Iterator[str]:
    """The names of the parameters that a call may have in its query.

    They are those of its document, which takes a third of a second to make.
    """
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from (each.alias or name for name, each in kind.model_fields.items())
        else:
            yield field.alias
    for inner in dependant.dependencies:
        yield from query_names(inner)


Ctx = Annotated[ControlPlane, Depends(control_plane)]
