# SPDX-License-Identifier: GPL-2.0-or-later
"""The sockets that the control plane opens."""

from pathlib import Path

import pytest

from xdpctl.config.settings import Settings
from xdpctl.fleet.settings import FleetSettings
from xdpctl.processes.sockets import fleet_listener


@pytest.mark.parametrize(("endpoints", "opens"), [((), False), (("192.0.2.1:2379",), True)])
def test_a_port_for_other_nodes_is_opened_only_in_a_fleet(
    tmp_path: Path, endpoints: tuple[str, ...], opens: bool
) -> None:
    """Certificates may be left over from a fleet that this box has left."""
    (tmp_path / "ca.crt").touch()
    fleet = FleetSettings("edge1", endpoints, certificates=tmp_path, port=18461)
    found = fleet_listener(Settings(fleet=fleet, state_dir=tmp_path))
    assert bool(found) is opens
    if found:
        found.socket.close()
