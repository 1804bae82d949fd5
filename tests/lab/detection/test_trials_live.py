# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules on trial, with real clients: who is hit by mistake is found, and a flood lets nobody in."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from bench.detection import live
from bench.detection.live import Scene
from bench.harm.traffic import of, send
from tests.lab.behind.people import PORT
from tests.lab.behind.places import CLIENTS, SERVER
from tests.lab.questions import eventually

MATCH = f"tcp flags syn&!ack dst {SERVER} dst-port {PORT}"
_PATIENCE = 4.0  # seconds, in which a client sends its SYN three times


@pytest.fixture
def bridge() -> Iterator[Scene]:
    with live.scene("bridge", sessions=10, taught=False, detects=False) as made:
        yield made


def began(scene: Scene) -> str:
    """A detector asks to drop all new connections to one port, which is a mistake or is not."""
    event = {"phase": "began", "id": "1", "victim": SERVER, "match": MATCH, "attack": "syn_flood"}
    (rule,) = scene.box.client.call("POST", "/v1/hooks/event", json=event)["rules"]
    return str(rule)


def rule_of(scene: Scene, rule: str) -> dict[str, Any]:
    found: dict[str, Any] = scene.box.client.call("GET", f"/v1/rules/{rule}")
    return found


@dataclass
class Newcomers:
    """Clients that each open a connection and ask once, so many a second."""

    scene: Scene
    a_second: float
    asked: int = 0
    waited: list[float] = field(default_factory=list)

    def come(self, seconds: float) -> float:
        """The share of them that is served."""
        with ThreadPoolExecutor(64) as pool:
            until, before = time.monotonic() + seconds, len(self.waited)
            asked = self.asked
            while time.monotonic() < until:
                source = CLIENTS[self.asked % len(CLIENTS)]
                pool.submit(self.scene.place.world.call, self._one(source))
                self.asked += 1
                time.sleep(1 / self.a_second)
        return (len(self.waited) - before) / (self.asked - asked)

    def _one(self, source: str) -> Callable[[], None]:
        def ask() -> None:
            began = time.monotonic()
            try:
                with socket.create_connection((SERVER, PORT), _PATIENCE, (source, 0)) as peer:
                    peer.sendall(b"GET / HTTP/1.1\r\nHost: school\r\n\r\n")
                    if peer.recv(4_096):
                        self.waited.append(time.monotonic() - began)
            except OSError:
                pass  # it is not served

        return ask


def test_a_rule_that_hits_people_alone_is_softened_and_they_are_served(bridge: Scene) -> None:
    rule, people = began(bridge), Newcomers(bridge, 60)
    coming = threading.Thread(target=people.come, args=(6.0,))
    coming.start()
    assert eventually(lambda: rule_of(bridge, rule)["action"] == "limit")
    coming.join()
    held = rule_of(bridge, rule)
    assert "softened" in held["tags"]
    assert people.come(4.0) >= 0.98
    assert bridge.sessions.all_answer()


def test_newcomers_get_in_beside_a_flood_that_the_rule_holds(bridge: Scene) -> None:
    """They come again a second after their first SYN, which no forged flow does."""
    rng, rule = np.random.default_rng(3), began(bridge)
    forged = of(
        rng.integers(0x08000000, 0x5F000000, 260_000, dtype="u4"),
        260_000,
        protocol=6,
        source_port=rng.integers(1_024, 65_536, 260_000),
        destination_port=PORT,
        tcp_flags=2,
        packet_length=60,
        ttl=60,
    )
    with ThreadPoolExecutor(1) as pool:
        flooding = pool.submit(send, bridge, forged, 20_000, 12.0)
        time.sleep(2.0)
        served = Newcomers(bridge, 10).come(6.0)
        kept_out = flooding.result()
    held = rule_of(bridge, rule)
    assert held["action"] == "drop"
    assert held["collateral"]["high"] < 0.1
    assert served >= 0.9
    assert kept_out >= 0.98
    assert bridge.sessions.all_answer()
