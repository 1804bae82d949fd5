# SPDX-License-Identifier: GPL-2.0-or-later
"""What all pages share: the caller, the API with the caller's rights, and pages for errors."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.routing import APIRoute

from xdpctl.errors import AccessError, Refused, XdpctlError
from xdpctl.model.identity import Caller, Role
from xdpctl_api import problems
from xdpctl_api.auth import caller
from xdpctl_api.dashboard.api_calls import ApiCalls, node_of
from xdpctl_api.dashboard.markup import FLEET, UPSTREAM, pages, rendered
from xdpctl_api.transport.callers import PEER, LocalPeer

_SAID, _SAID_SECONDS = "said", 600
_SEE_OTHER = 303


class Page:
    """One request for a page."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.who: Caller = caller(request)
        self.api = ApiCalls(request)

    async def render(self, template: str, http_status: int = 200, **values: Any) -> Response:
        """The page of a template, with the state of the box around it."""
        state, automatic, bypass = None, None, None
        if self.who.may(Role.VIEWER):
            state, automatic, bypass = await asyncio.gather(
                *(self.or_none(f"/v1/{name}") for name in ("condition", "automatic", "bypass"))
            )
        fleet, node = self.request.app.state.context.fleet, node_of(self.request)
        return rendered(
            self.request,
            template,
            http_status,
            who=self.who,
            node=node,
            nodes=sorted(fleet.reporter.nodes.by_name) if fleet else [],
            this_node=fleet.member.name if fleet else "",
            # a page about another node has no forms, because the forms would change this node
            may_change=self.who.may(Role.OPERATOR) and not node,
            may_look=self.who.may(Role.VIEWER),
            pages=pages(self.who, *self._more_pages()),
            condition=state,
            automatic=automatic,
            bypass=bypass,
            said=self._said(),
            back=self._back(),
            local=isinstance(self.request.scope.get(PEER), LocalPeer),
            **values,
        )

    @property
    def has_providers(self) -> bool:
        """Whether the settings name uplinks or providers' routers."""
        context = self.request.app.state.context
        return bool(context.uplinks.links or context.peering)

    def _more_pages(self) -> list[tuple[str, str]]:
        more = [UPSTREAM] if self.has_providers else []
        return [*more, *([FLEET] if self.request.app.state.context.fleet else [])]

    async def or_none(self, path: str, **params: Any) -> Any:
        """The API's answer; None for a problem; then the page shows that it is unknown."""
        try:
            return await self.api.get(path, **params)
        except Refused:
            return None

    def _back(self) -> str:
        """The address of this page with its query, to which its forms lead back."""
        query = "&".join(
            f"{quote(name)}={quote(value)}"
            for name, value in self.request.query_params.multi_items()
            if name != _SAID
        )
        path = self.request.url.path
        path = "/" if path.startswith("/actions/") else path
        return f"{path}?{query}" if query else path

    def _said(self) -> Mapping[str, Any] | None:
        """The report of the action that led back here, sealed, so that no link can forge it."""
        ctx, sealed = self.request.app.state.context, self.request.query_params.get(_SAID, "")
        try:
            report: dict[str, Any] = ctx.sessions.unseal(_SAID, sealed)
        except ValueError:
            return None
        age = ctx.controller.clock.read().unix - report["at"]
        return report if 0 <= age <= _SAID_SECONDS else None


def said_at(request: Request, back: str, text: str, undo: int | None) -> str:
    """The address of a page, with the sealed report of what was done."""
    ctx = request.app.state.context
    report = {"text": text, "undo": undo, "at": ctx.controller.clock.read().unix}
    mark = "&" if "?" in back else "?"
    return f"{back}{mark}{_SAID}={quote(ctx.sessions.seal(_SAID, report))}"


async def _page(request: Request) -> Page:
    return Page(request)


PageIn = Annotated[Page, Depends(_page)]


class PageRoute(APIRoute):
    """A page's route: errors are pages, too; a caller who is not logged in is sent to the login."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with pages for errors."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                return await trouble(request, problems.of_validation(error))
            except XdpctlError as error:
                return await trouble(request, problems.of_error(error))

        return handle


def scripted(request: Request) -> bool:
    """Whether a script sent the request; the script itself shows the answer on its page."""
    return request.headers.get("accept", "").startswith("application/json")


async def trouble(request: Request, problem: Mapping[str, Any], **values: Any) -> Response:
    """The page that shows a problem; a caller without a valid session is sent to the login."""
    if scripted(request):
        return JSONResponse(problem, problem["status"])
    if problem["status"] == 401:
        return to_login(request)
    try:
        page = Page(request)
    except AccessError:
        return to_login(request)
    return await page.render("problem.html.j2", problem["status"], problem=problem, **values)


def to_login(request: Request) -> RedirectResponse:
    """A redirect to the login, which then leads back to this page."""
    path = request.url.path
    query = f"?{request.url.query}" if request.url.query else ""
    target = path + query if request.method == "GET" else "/"
    return RedirectResponse(f"/login?next={quote(target)}", _SEE_OTHER)
