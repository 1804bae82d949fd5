# SPDX-License-Identifier: GPL-2.0-or-later
"""Visitors by HTTP/3 are known by the connection ID of the server, behind a bridge."""

import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

from bench.harm import http3
from tests.lab.behind.places import CLIENTS, SERVER, SETTINGS, place
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator, compile_generator

_PATIENCE = 10.0
_SERVER = (sys.executable, "-m", "bench.harm.http3", SERVER)


def test_a_visitor_is_known_before_asking_for_a_page(tmp_path: Path) -> None:
    """A client's first packets have 1,228 bytes or more; the rule drops other unknown packets."""
    with (
        closing(Generator(compile_generator())) as generator,
        place("bridge", generator.pass_fd) as here,
        here.server.popen(*_SERVER, str(tmp_path), stdout=subprocess.PIPE) as server,
    ):
        box = Box(here.box, ["out0"])
        box.detects, box.settings = False, SETTINGS
        try:
            assert server.stdout
            assert server.stdout.readline() == b"ready\n"
            box.start()
            asks = [partial(http3.ask, SERVER, client, _PATIENCE) for client in CLIENTS[:6]]
            assert here.world.call(asks[0])
            match = {"destination": SERVER, "destination_port": "443", "packet_length": "<1228"}
            rule = {"match": {"protocol": "udp", **match}, "action": "drop"}
            made = box.client.call("POST", "/v1/rules", json={**rule, "spare": "known"})
            assert all(here.world.call(ask) for ask in asks[1:5])
            where = f"/v1/rules/{made['id']}"
            box.client.call("PATCH", where, json={"spare": "none", "force": True})
            assert not here.world.call(partial(http3.ask, SERVER, CLIENTS[5], 2.0)), (
                "the rule must hit other packets"
            )
        finally:
            server.terminate()
            box.remove()
