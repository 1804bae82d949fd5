# SPDX-License-Identifier: GPL-2.0-or-later
"""Real clients of a game server are served while the detector holds a flood of its queries."""

import shutil

import pytest

from bench.detection import live
from tests.conftest import need
from tests.lab.behind import game
from tests.lab.behind.floods import flooding
from tests.lab.behind.places import CLIENTS, SERVER
from tests.lab.questions import counted
from xdpctl.abi.constants import Reason
from xdpctl.lab.waits import eventually

_CLIENTS = 20


@pytest.mark.parametrize("taught", [True, False], ids=["a week old", "new"])
def test_clients_of_a_game_server_are_served_in_a_flood_of_its_queries(taught: bool) -> None:
    """The flood has the bytes of their queries, and has forged their addresses, too."""
    need(bool(shutil.which("quakestat")), "qstat")
    with live.scene("bridge", taught=taught) as scene, game.game_server(scene.place):
        here = scene.place
        here.world.ip(f"route replace {SERVER}/32 dev far0 src {CLIENTS[0]}")
        with flooding(here, scene.generator, "A2S", 50_000):
            assert eventually(lambda: counted(scene.box, Reason.CHALLENGED) > 10_000)
            waits = [game.ask_by_a2s(here)]
            waits += [game.ask_by_qstat(here, client) for client in CLIENTS[1 : 1 + _CLIENTS]]
            waits += [game.ask_by_a2s(here) for _ in range(_CLIENTS)]
            status = scene.status
            assert eventually(lambda: any(m.action == "challenge" for m in status().mitigations))
            # a query whose source port is a service's is taken for an answer that nobody asked for
            assert {(m.action, m.kind) for m in status().mitigations} <= {
                ("challenge", "udp"),
                ("drop", "udp_service"),
            }
        assert None not in waits
        assert counted(scene.box, Reason.FAULT) == 0
        assert scene.sessions.all_answer()
