"""The application: routes, problems, and a limit on what a body may weigh."""

from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xdpctl import __version__
from xdpctl_api import problems
from xdpctl_api.context import Context
from xdpctl_api.routes import bulk, explain, metrics, records, rules, system

_BODY_MAX = 65_536
_STREAMED = "/v1/rules/bulk"  # reads its body itself, to its own limit


class BodyLimit:
    """413 for a body over the limit, of stated length or chunked, before any route runs."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == _STREAMED:
            await self.app(scope, receive, send)
            return
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        messages = [] if int(stated) > _BODY_MAX else await _read(receive)
        if messages:
            replay = iter(messages)

            async def replayed() -> Message:
                return next(replay, None) or await receive()

            await self.app(scope, replayed, send)
            return
        detail = f"more than {_BODY_MAX} bytes for one object"
        answer = problems.problem(413, "too-large", detail, fix=f"POST lists to {_STREAMED}")
        await answer(scope, receive, send)


async def _read(receive: Receive) -> list[Message]:
    """The whole body's messages; none if it is over the limit."""
    messages: list[Message] = []
    size = 0
    while not messages or messages[-1].get("more_body"):
        messages.append(await receive())
        size += len(messages[-1].get("body", b""))
        if size > _BODY_MAX:
            return []
    return messages


def create_app(context: Context | None = None) -> FastAPI:
    """The API over a context; without one it serves only its own description."""
    app = FastAPI(
        title="xdpctl",
        version=__version__,
        description="Drops what is blocklisted at line rate, and never its own people.",
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.context = context
    app.add_middleware(BodyLimit)
    problems.install(app)
    for module in (bulk, rules, explain, system, records, metrics):
        app.include_router(module.router)
    return app


def openapi() -> dict[str, Any]:
    """The OpenAPI document that docs/openapi.json holds."""
    return create_app().openapi()
