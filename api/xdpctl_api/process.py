# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the control plane once its rules are in force: feeds, detectors, and the API."""

from collections.abc import Callable
from pathlib import Path

import uvloop

from xdpctl.config.settings import Settings
from xdpctl.control.controller import Controller
from xdpctl.lists.refresher import Refresher
from xdpctl.lists.source import Limits, ListSource
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.processes.sockets import Listeners, fleet_listener
from xdpctl_api.app import create_app
from xdpctl_api.transport import server

_RESPONDS_SECONDS = 8.0


def _alive(controller: Controller) -> Callable[[], bool]:
    return lambda: controller.responds(_RESPONDS_SECONDS)


def serve(
    controller: Controller, settings: Settings, config: Path | None, listeners: Listeners
) -> None:
    """Serve until SIGTERM or SIGINT; `config` is the file that the settings came from."""
    most = settings.capacity_ipv4 + settings.capacity_ipv6
    source = ListSource(settings.feeds, Limits(settings.bulk_max_bytes, most))
    plane = ControlPlane(controller, settings, Refresher(controller, source), config)
    plane.start()
    try:
        app, alive = create_app(plane), _alive(controller)
        fleet = fleet_listener(settings)
        uvloop.run(server.serve(app, settings.listen, *listeners, plane.stop, alive, fleet))
    finally:
        plane.stop()
