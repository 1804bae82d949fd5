# SPDX-License-Identifier: GPL-2.0-or-later
"""What FastAPI hands to the routes."""

from typing import Annotated

from fastapi import Depends, Request

from xdpctl.service.control_plane import ControlPlane


async def control_plane(request: Request) -> ControlPlane:
    """The one that the application was made for."""
    found: ControlPlane = request.app.state.context
    return found


Ctx = Annotated[ControlPlane, Depends(control_plane)]
