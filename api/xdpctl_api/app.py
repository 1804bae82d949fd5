# SPDX-License-Identifier: GPL-2.0-or-later
"""The application: routes, problem details, and limits on the size of bodies."""

from typing import Any

from fastapi import Depends, FastAPI

from xdpctl import __version__
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api import problems
from xdpctl_api.auth import KnownSender
from xdpctl_api.dashboard.routes import PAGES, add_files
from xdpctl_api.dependencies import known_query
from xdpctl_api.document import RECEIVE, DescribedApi, operation_id
from xdpctl_api.fleet_proxy import FleetProxy
from xdpctl_api.routes import (
    attackers,
    browsers,
    bulk,
    conflicts,
    detect,
    evidence,
    expectations,
    explain,
    fleet,
    history,
    hooks,
    incidents,
    metrics,
    records,
    releases,
    rollouts,
    rules,
    samples,
    series,
    served,
    sets,
    stream,
    system,
    traffic,
    unusual,
    upstream,
    why,
)
from xdpctl_api.shapes.webhooks import ToldEvent
from xdpctl_api.transport.bodies import BodyLimit, Budget, TooLarge, too_large
from xdpctl_api.transport.conditional import Conditional

_BODIES_LEAST = 64 << 20  # lower bound of the memory for bodies, in bytes


ROUTES = (  # FastAPI tries these in order, so the most frequently used come first
    *(hooks, bulk, rules, sets, evidence, incidents, why, explain, detect, expectations, fleet),
    *(history, releases, samples, traffic, unusual, upstream, series, served, stream, system),
    *(attackers, conflicts, rollouts, records, metrics, browsers),
)


async def receive_notification(body: ToldEvent) -> None:
    """What is sent to each of `[[notify.webhooks]]`.

    An answer of 200 to 299 means that it was taken. Else it is sent again, up to three times.
    """


def create_app(context: ControlPlane | None = None) -> FastAPI:
    """The API of a control plane; without one, it serves only its OpenAPI document."""
    app = DescribedApi(
        title="xdpctl",
        version=__version__,
        description="Drops traffic from blocklisted sources at line rate "
        "without locking out operators.",
        license_info={"name": "GPL-2.0-or-later", "identifier": "GPL-2.0-or-later"},
        servers=[{"url": "http://127.0.0.1:8460", "description": "This host; see listen.port"}],
        docs_url=None,  # FastAPI's page for documentation would load scripts from other hosts
        redoc_url=None,
        openapi_url="/openapi.json",
        generate_unique_id_function=operation_id,
        dependencies=[Depends(known_query)],
    )
    app.state.context = context
    most = 2 * context.settings.bulk_max_bytes if context else 0
    if context and context.fleet:
        app.add_middleware(FleetProxy)
    app.add_middleware(BodyLimit, budget=Budget(max(most, _BODIES_LEAST)))
    app.add_middleware(Conditional)
    app.add_middleware(KnownSender)  # added last, so it runs first
    app.add_exception_handler(TooLarge, too_large)
    problems.install(app)
    hook = app.webhooks.post(
        "notification", operation_id=RECEIVE, status_code=204, tags=["notifications"]
    )
    hook(receive_notification)
    app.state.routers = [*(module.router for module in ROUTES), *PAGES]
    for router in app.state.routers:
        app.include_router(router)
    add_files(app)
    return app


def openapi() -> dict[str, Any]:
    """The OpenAPI document that docs/reference/openapi.json holds."""
    return create_app().openapi()
