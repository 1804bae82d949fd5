# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m xdpctl_api`: the control plane's process, served over HTTP."""

from pathlib import Path

from xdpctl.config.settings import Settings
from xdpctl.control.controller import Controller
from xdpctl.processes.daemon import main
from xdpctl.processes.sockets import Listeners


def serve(
    controller: Controller, settings: Settings, config: Path | None, listeners: Listeners
) -> None:
    """Serve until SIGTERM or SIGINT. FastAPI is imported only now, to not delay the boot."""
    from xdpctl_api import process

    process.serve(controller, settings, config, listeners)


if __name__ == "__main__":
    main(serve)
