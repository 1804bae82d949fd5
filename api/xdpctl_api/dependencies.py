# SPDX-License-Identifier: GPL-2.0-or-later
"""Dependencies of the routes."""

from typing import Annotated

from fastapi import Depends, Request

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
    known = request.app.query_names(request.scope["route"].path_format, request.method)
    for name in request.query_params:
        if name not in known:
            fix = f"use {', '.join(sorted(known))}" if known else "this call has no parameters"
            raise RuleError(f"there is no parameter {name[:40]!r}", name[:40], fix)


Ctx = Annotated[ControlPlane, Depends(control_plane)]
