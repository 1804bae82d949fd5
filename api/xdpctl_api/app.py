# SPDX-License-Identifier: GPL-2.0-or-later
"""The application: routes, problems, and a limit on what a body may weigh."""

from typing import Any

from fastapi import FastAPI

from xdpctl import __version__
from xdpctl.service.control_plane import ControlPlane
from xdpctl_api import problems
from xdpctl_api.auth import KnownSender
from xdpctl_api.routes import (
    bulk,
    explain,
    hooks,
    incidents,
    lookup,
    metrics,
    records,
    rules,
    samples,
    sets,
    system,
)
from xdpctl_api.transport.bodies import BodyLimit, Budget, TooLarge, too_large

_BODIES_LEAST = 64 << 20  # bytes of bodies that are held at once


def create_app(context: ControlPlane | None = None) -> FastAPI:
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
    most = 2 * context.settings.bulk_max_bytes if context else 0
    app.add_middleware(BodyLimit, budget=Budget(max(most, _BODIES_LEAST)))
    app.add_middleware(KnownSender)  # added last, so first
    app.add_exception_handler(TooLarge, too_large)
    problems.install(app)
    for module in (  # routes are tried in turn: what comes by the thousand is first
        *(hooks, bulk, rules, sets, incidents, lookup, explain),
        *(samples, system, records, metrics),
    ):
        app.include_router(module.router)
    return app


def openapi() -> dict[str, Any]:
    """The OpenAPI document that docs/reference/openapi.json holds."""
    return create_app().openapi()
