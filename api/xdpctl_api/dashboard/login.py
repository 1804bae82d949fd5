# SPDX-License-Identifier: GPL-2.0-or-later
"""Logging in: a token, or a link of a local user, is exchanged for a cookie."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from xdpctl.errors import AccessError
from xdpctl.model.identity import Caller, Role, authenticate, digest
from xdpctl.model.rule import OPERATOR
from xdpctl.processes.sessions import SECONDS, Session
from xdpctl_api.auth import LOGIN, SECRET_MAX, cookie_name
from xdpctl_api.dashboard.forms import needed, page_of, read_form
from xdpctl_api.dashboard.markup import rendered
from xdpctl_api.dashboard.page import PageRoute
from xdpctl_api.dependencies import Ctx

router = APIRouter(route_class=PageRoute, include_in_schema=False)
_WRONG_SECONDS = 0.5  # the delay of the answer to a wrong token


@router.get(LOGIN)
async def ask(
    request: Request, ctx: Ctx, code: str = "", came_from: Annotated[str, Query(alias="next")] = "/"
) -> Response:
    """The form; or, with the code of a link, the first page."""
    if not code:
        back = page_of({"back": came_from})
        return rendered(request, "login.html.j2", trouble="", next=back)
    try:
        session = ctx.sessions.follow(code)
    except AccessError as error:
        return rendered(request, "login.html.j2", 401, trouble=str(error), next="/")
    return _begun(request, ctx, session, "/")


@router.post(LOGIN)
async def log_in(request: Request, ctx: Ctx) -> Response:
    """Exchange a token for a session."""
    form = await read_form(request)
    back = page_of(form, "next")
    try:
        secret, now = needed(form, "token")[:SECRET_MAX], ctx.controller.clock.read().unix
        token = authenticate(secret, ctx.controller.state.tokens_by_digest, now)
        Caller(f"token {token.name}", token.role, OPERATOR).require(Role.VIEWER, Role.HELPDESK)
    except AccessError as error:
        await asyncio.sleep(_WRONG_SECONDS)
        return rendered(request, "login.html.j2", 401, trouble=str(error), next=back)
    return _begun(request, ctx, Session(digest=digest(secret)), back)


def _begun(request: Request, ctx: Ctx, session: Session, back: str) -> Response:
    sealed = ctx.sessions.begin(session, ctx.controller.clock.read().unix)
    answer = RedirectResponse(back, 303)
    answer.set_cookie(
        cookie_name(request),
        sealed,
        max_age=SECONDS,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post("/logout")
async def log_out(request: Request, ctx: Ctx) -> Response:
    name = cookie_name(request)
    ctx.sessions.end(request.cookies.get(name, ""))
    answer = RedirectResponse(LOGIN, 303)
    secure = request.url.scheme == "https"
    answer.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="strict")
    return answer
