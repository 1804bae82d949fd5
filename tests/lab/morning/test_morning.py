# SPDX-License-Identifier: GPL-2.0-or-later
"""Twelve attacks in a morning, without cutting off any legitimate user."""

import socket

from tests.lab.conftest import Street
from tests.lab.echo import says_back
from tests.lab.morning import scenario as morning
from tests.lab.questions import counted
from tests.lab.test_signatures_live import logged_in
from xdpctl.abi.constants import Reason
from xdpctl.lab.box import Box
from xdpctl.lab.waits import eventually

__all__ = ["logged_in"]


def test_twelve_waves_are_twelve_incidents_and_no_session_breaks(
    street: Street, street_box: Box, logged_in: list[socket.socket]
) -> None:
    street_box.stop()
    street_box.settings = morning.SETTINGS
    street.server.ip(f"addr add {morning.OTHER}/24 dev isp0")
    street_box.start()
    felt = []
    for wave in morning.waves(street, street_box):
        felt.append(wave)
        assert all(map(says_back, logged_in)), f"a session breaks in wave {len(felt)}"
    assert all(map(says_back, logged_in))
    assert len({wave.incident for wave in felt}) == 12
    incidents = street_box.client.call("GET", "/v1/incidents")["incidents"]
    assert len(incidents) == 12
    assert not any(one["open"] for one in incidents)
    for one in incidents:
        whole = street_box.client.call("GET", f"/v1/incidents/{one['id']}")
        assert whole["packets"] > 0
        assert whole["evidence"]["packets"] > 0
        assert {event["phase"] for event in whole["events"]} == {"began", "ended"}
    assert list(street_box.client.pages()) == [], "every wave is released by itself"
    assert counted(street_box, Reason.FAULT) == 0
    assert eventually(lambda: all(map(says_back, logged_in)))
