# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that runs a relay."""

import signal
import threading

from xdpctl.base.system.extras import need
from xdpctl.cli import options, output
from xdpctl.config import file as config
from xdpctl.errors import ConfigError


def relay(config_file: options.Config = None) -> None:
    """Run this host's relay, which passes the engine on to nodes, until it is stopped.

    On a host with systemd, xdpctl-relay.service runs it.

    Example: xdpctl fleet relay
    """
    fleet = config.load(config_file).fleet
    if not fleet.relay:
        raise ConfigError(
            "this host is no relay. With the authority: xdpctl fleet token NAME --relay --address "
            "ADDRESS; then here: xdpctl fleet join HOST"
        )
    need("fleet")
    from xdpctl.fleet.relay.relay import Relay

    stopping, running = threading.Event(), Relay(fleet)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    port = running.start()
    output.out.print(f"{fleet.name} serves its nodes at port {port}")
    try:
        running.run(stopping)
    finally:
        running.stop()
