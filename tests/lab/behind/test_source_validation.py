# SPDX-License-Identifier: GPL-2.0-or-later
"""Forged sources do not leave, with all processes dead too; people and forgotten networks do."""

import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.lab.behind.places import CLIENTS, SERVER, SETTINGS, Place
from tests.lab.behind.test_attackers import Work, arriving, here, sending
from xdpctl.lab.box import Box
from xdpctl.lab.flood import interface
from xdpctl.lab.waits import eventually

__all__ = ["here"]  # a fixture
_VICTIM, _SITE, _CLIENT = CLIENTS[90], CLIENTS[110], CLIENTS[20]
_FORGED, _FORGOTTEN = "45.1.2.3", "46.1.2.3"
_BYTES = 20_000_000
_VALIDATED = 'source_validation = "enforce"\nlearning = "5s"\n'  # of the last table, [outside]
_FORGE = """
import socket, sys, time
source, victim = sys.argv[1:]
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind((source, 9001))
for _ in range(60000):
    udp.sendto(bytes(100), (victim, 9000))
    time.sleep(0.002)
"""


def fetches(place: Place, source: str) -> bool:
    """Whether the server gets a page from outside by one of its addresses."""
    words = ("curl", "-sf", "-o", "/dev/null", "--max-time", "3", "--interface", source)
    return place.server.popen(*words, f"http://{_SITE}:8080/").wait() == 0


def give_addresses(place: Place) -> None:
    """The server has an address that it forges, and one of a network that the settings lack."""
    for address in (_FORGED, _FORGOTTEN):
        place.server.ip(f"addr add {address}/32 dev lo")
    way = "via 198.18.0.1" if place.kind == "router" else f"via {SERVER}"
    place.world.ip(f"route add {_FORGOTTEN} {way}")
    if place.kind == "router":
        place.box.ip(f"route add {_FORGOTTEN} via {SERVER}")


def enforced(box: Box) -> bool:
    warnings = box.client.call("GET", "/v1/status")["warnings"]
    return not any(each.startswith("forged sources are not dropped") for each in warnings)


@pytest.mark.parametrize("here", ["bridge", "router"], indirect=True)
def test_forged_sources_do_not_leave_and_people_lose_nothing(here: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(_BYTES))
    give_addresses(here)
    box = Box(here.box, ["out0"])
    box.detects, box.settings = False, SETTINGS + _VALIDATED
    with ExitStack() as people:
        try:
            box.start()
            work = Work(here, tmp_path / "file")
            people.callback(work.close)
            with sending(here.server, _FORGE, _FORGED, _VICTIM):
                assert arriving(here.world) > 100, "it is only counted at first"
                assert eventually(lambda: enforced(box))
                assert arriving(here.world) == 0
                box.kill()
                assert arriving(here.world) == 0, "with all processes dead"
                box.start()
                assert arriving(here.world) == 0, "after a restart"
                (forger,) = box.cli("attackers", "list")["forgers"]
            mac = interface(here.server, "eth0")[1] if here.kind == "bridge" else ""
            assert (forger["source"], forger["mac"]) == (_FORGED, mac)
            assert len(box.cli("audit", "--action", "source.forged")) >= 1
            before = dict(work.done)
            assert eventually(lambda: all(work.done[name] > before[name] for name in before))
            assert work.failed == []
            assert not fetches(here, _FORGOTTEN), "so far nothing came in for it"
            ping = ("ping", "-c", "1", "-W", "1", "-I", _CLIENT, _FORGOTTEN)
            quiet: Any = {"stdout": subprocess.DEVNULL}
            assert eventually(lambda: here.world.popen(*ping, **quiet).wait() == 0)
            assert fetches(here, _FORGOTTEN)
            box.kill()
            assert fetches(here, _FORGOTTEN), "with all processes dead"
            box.start()
            assert fetches(here, _FORGOTTEN), "after a restart"
            warnings = box.client.call("GET", "/v1/status")["warnings"]
            assert any("46.1.2.0/24" in each for each in warnings)
        finally:
            box.remove()
