# SPDX-License-Identifier: GPL-2.0-or-later
"""Dependencies of the routes."""

from typing import Annotated

from fastapi import Depends, Request

from xdpctl.service.control_plane import ControlPlane


async def control_plane(request: Request) -> ControlPlane:
    """The control plane of the application."""
    found: ControlPlane = request.app.state.context
    return found


Ctx = Annotated[ControlPlane, Depends(control_plane)]
