"""What the control plane does once its rules are in force: feeds, detectors, and the API."""

import socket
from collections.abc import Callable
from pathlib import Path

import uvloop

from xdpctl.control.controller import Controller
from xdpctl.lists.refresher import Refresher
from xdpctl.lists.source import Limits, Loader
from xdpctl.service.config import Settings
from xdpctl_api import server
from xdpctl_api.app import create_app
from xdpctl_api.context import Context

_RESPONDS_SECONDS = 8.0


def _alive(controller: Controller) -> Callable[[], bool]:
    return lambda: controller.responds(_RESPONDS_SECONDS)


def serve(
    controller: Controller,
    settings: Settings,
    path: Path | None,
    local: socket.socket,
    tcp: socket.socket | None,
) -> None:
    """Until SIGTERM or SIGINT; `path`: the file that the settings came from."""
    most = settings.capacity_ipv4 + settings.capacity_ipv6
    loader = Loader(settings.feeds, Limits(settings.bulk_max_bytes, most))
    refresher = Refresher(controller, loader)
    context = Context(controller, settings, refresher, path)
    refresher.start()
    context.start()
    try:
        app = create_app(context)
        uvloop.run(server.serve(app, settings.listen, local, tcp, context.stop, _alive(controller)))
    finally:
        context.stop()
