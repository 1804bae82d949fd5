# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m bench.harm.trials`: rules on trial, with real clients.

After what time it is found out that a rule hits people, and who gets in beside a flood.
"""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.detection import live
from bench.detection.frames import Sender, frames
from bench.detection.live import Scene
from bench.harm.traffic import of, send
from tests.lab.behind.people import PORT
from tests.lab.behind.places import CLIENTS, SERVER

MATCH = f"tcp flags syn&!ack dst {SERVER} dst-port {PORT}"
_PATIENCE = 4.0  # seconds, in which a client sends its SYN three times
_LOOK_SECONDS = 0.05


@contextmanager
def bridge() -> Iterator[Scene]:
    """A box without a detector of its own, so that a trial's rule is the only one."""
    with live.scene("bridge", sessions=10, taught=False, detects=False) as box:
        yield box


def began(scene: Scene) -> str:
    """A detector asks to drop all new connections to one port; the id of the rule."""
    event = {"phase": "began", "id": "1", "victim": SERVER, "match": MATCH, "attack": "syn_flood"}
    (rule,) = scene.box.client.call("POST", "/v1/hooks/event", json=event)["rules"]
    return str(rule)


def rule_of(scene: Scene, rule: str) -> dict[str, Any]:
    """The rule as the API has it."""
    answer: dict[str, Any] = scene.box.client.call("GET", f"/v1/rules/{rule}")
    return answer


@dataclass
class Newcomers:
    """Clients that each open a connection and ask once, so many a second.

    `waited` are the seconds until the answer, of those that are served.
    """

    scene: Scene
    a_second: float
    asked: int = 0
    waited: list[float] = field(default_factory=list)

    def come(self, seconds: float, go_on: Callable[[], bool] = lambda: True) -> float:
        """Let clients come for so long; return the share that was served."""
        with ThreadPoolExecutor(256) as pool:
            until, before = time.monotonic() + seconds, len(self.waited)
            asked_before = self.asked
            while time.monotonic() < until and go_on():
                source = CLIENTS[self.asked % len(CLIENTS)]
                pool.submit(self.scene.place.world.call, self._one(source))
                self.asked += 1
                time.sleep(1 / self.a_second)
        return (len(self.waited) - before) / max(self.asked - asked_before, 1)

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


def forged(scene: Scene, count: int) -> list[bytes]:
    """SYNs from random sources, each in a different flow."""
    rng = np.random.default_rng(3)
    sources = rng.integers(0x08000000, 0x5F000000, count, dtype="u4")
    ports = rng.integers(1_024, 65_536, count)
    packets = of(
        sources,
        count,
        protocol=6,
        source_port=ports,
        destination_port=PORT,
        tcp_flags=2,
        packet_length=60,
        ttl=60,
    )
    return frames(packets, scene.place.mac)


def found_after(people: float, flood: float, most: float = 60.0) -> float | None:
    """Seconds until a rule that hits this many newcomers and forged SYNs a second is softened."""
    with bridge() as scene, ThreadPoolExecutor(2) as pool:
        packets = forged(scene, int(flood * most) + 1)
        rule, softened_after = began(scene), list[float]()
        if flood:
            pool.submit(_until, scene, packets, flood, most, softened_after)
            time.sleep(1.0)
        coming = pool.submit(Newcomers(scene, people).come, most, lambda: not softened_after)
        began_at = time.monotonic()
        until = began_at + most
        while time.monotonic() < until and rule_of(scene, rule)["action"] == "drop":
            time.sleep(_LOOK_SECONDS)
        softened = rule_of(scene, rule)["action"] != "drop"
        softened_after.append(time.monotonic() - began_at)
        coming.result()
    return softened_after[0] if softened else None


def _until(
    scene: Scene, packets: list[bytes], rate: float, most: float, softened_after: list[float]
) -> None:
    """Send until the rule is softened, or until all packets are sent."""
    sender = Sender("far0", packets, rate, most)
    sending = scene.place.world.start(sender.run)
    while not softened_after and not sending.done():
        time.sleep(_LOOK_SECONDS)
    sender.stop.set()
    sending.result()


@dataclass(frozen=True, slots=True)
class Beside:
    """The result for newcomers beside a dropped flood; `waited` is their 95th percentile."""

    served: float
    waited: float
    kept_out: float
    said: str


def beside(people: float, flood: float, seconds: float = 12.0) -> Beside:
    """Let newcomers come, beginning two seconds after the flood."""
    with bridge() as scene, ThreadPoolExecutor(1) as pool:
        packets, newcomers = forged(scene, int(flood * (seconds + 1))), Newcomers(scene, people)
        rule = began(scene)
        flooding = pool.submit(send, scene, packets, flood, seconds)
        time.sleep(2.0)
        served = newcomers.come(seconds - 6.0)
        collateral = rule_of(scene, rule)["collateral"]["text"]
        kept_out = flooding.result()
        waited = float(np.quantile(newcomers.waited, 0.95)) if newcomers.waited else 0.0
    return Beside(served, waited, kept_out, collateral)


def main() -> None:
    """Print the figures; each is measured on a separate box."""
    for people, flood in ((60.0, 0.0), (105.0, 2_000.0), (60.0, 3_000.0)):
        seconds = found_after(people, flood)
        share = people / (people + flood)
        print(f"{share:.0%} people: " + ("not found" if seconds is None else f"{seconds:.1f} s"))
    print(beside(20.0, 25_000.0))


if __name__ == "__main__":
    main()
