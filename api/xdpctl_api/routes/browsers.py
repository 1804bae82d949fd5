# SPDX-License-Identifier: GPL-2.0-or-later
"""Links by which a browser of a local user is logged in."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from xdpctl.errors import BusyError, ConflictError, RoleError
from xdpctl.processes.sessions import LINK_SECONDS, Session
from xdpctl_api.auth import Admin
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals
from xdpctl_api.transport.callers import PEER, LocalPeer

router = APIRouter(prefix="/v1/browsers", tags=["dashboard"])


class LinkOut(BaseModel):
    """A link that logs a browser in, once."""

    url: str
    seconds: float = Field(description="How long it works")


@router.post("/links", status_code=201, responses=refusals(ConflictError, BusyError))
async def make_link(request: Request, who: Admin, ctx: Ctx) -> LinkOut:
    """A link that logs a browser in as the caller. Only on the Unix socket, without a token."""
    if not isinstance(request.scope.get(PEER), LocalPeer) or "authorization" in request.headers:
        raise RoleError("links are made on the Unix socket alone; with a token, log in at /login")
    address = ctx.settings.listen.address
    if not address:
        fix = "set listen.port, and start again"
        raise ConflictError("the dashboard is served on TCP, and listen.port is 0", "", fix)
    code = ctx.sessions.link(Session(user=who.name))
    return LinkOut(url=f"{address}/login?code={code}", seconds=LINK_SECONDS)
