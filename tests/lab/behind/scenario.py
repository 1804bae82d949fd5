# SPDX-License-Identifier: GPL-2.0-or-later
"""Floods while users are logged in; a limit and then a drop are added during each flood."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.lab.behind.floods import FLOODS, Flood, flooding
from tests.lab.behind.people import PORT, Conversations, Server, Sessions
from tests.lab.behind.places import CLIENTS, SERVER, SETTINGS, Place, place
from tests.lab.questions import counted
from xdpctl.abi.constants import Reason
from xdpctl.lab.box import Box
from xdpctl.lab.flood import Generator

SESSIONS = 200
_LIMIT_PPS = 500
_CONNECT_SECONDS = 8.0


@dataclass(slots=True)
class Scene:
    """A place with a running box, a server, and people who are logged in."""

    place: Place
    box: Box
    sessions: Sessions
    talks: Conversations
    generator: Generator


@dataclass(frozen=True, slots=True)
class Felt:
    """The effect of a flood: broken sessions, and the conversation that lost most (0 to 1)."""

    flood: str
    broken: int
    slowest: float
    kind: str
    lost: float
    dropped: int
    known: int


@contextmanager
def scene(
    kind: str, generator: Generator, sessions: int = SESSIONS, more: str = ""
) -> Iterator[Scene]:
    """Everybody is logged in when the block begins; `more` are further settings."""
    with place(kind, generator.pass_fd) as here, ExitStack() as cleanup:
        box = Box(here.box, ["out0"])
        cleanup.callback(box.remove)
        box.settings = SETTINGS + more
        box.start()
        server = Server(here)
        cleanup.callback(server.close)
        people = Sessions(here, sessions)
        cleanup.callback(people.close)
        talks = Conversations(here)
        cleanup.callback(talks.close)
        time.sleep(0.5)
        yield Scene(here, box, people, talks, generator)


def sign(scene: Scene, flood: Flood, **more: Any) -> str:
    """Add a rule on a match against a flood; return its id."""
    body = {"match": f"dst {SERVER} {flood.match}", **more}
    rule: dict[str, Any] = scene.box.client.call("POST", "/v1/rules", json=body)
    return str(rule["id"])


def unsign(scene: Scene, identity: str) -> None:
    scene.box.client.call("DELETE", f"/v1/rules/{identity}")


def _drops(scene: Scene) -> int:
    return counted(scene.box, Reason.LIMITED) + counted(scene.box, Reason.MATCHED)


def suffer(scene: Scene, flood: Flood, seconds: float) -> Felt:
    """Send a flood; add a limit at once, and replace it by a drop after `seconds`."""
    dropped, known = _drops(scene), counted(scene.box, Reason.KNOWN)
    scene.sessions.slowest = 0.0
    with flooding(scene.place, scene.generator, flood.name):
        limit = sign(scene, flood, action="limit", limit={"pps": _LIMIT_PPS}, priority=1)
        time.sleep(0.3)  # what came before the limit is in the sockets' buffers
        scene.talks.mark()
        time.sleep(seconds)
        drop = sign(scene, Flood(flood.name, f"{flood.match} ttl 1-255"), action="drop")
        unsign(scene, limit)
        time.sleep(seconds)
        worst = scene.talks.worst()
        all_answer = scene.sessions.all_answer()
    unsign(scene, drop)
    broken = 0 if all_answer else max(scene.sessions.waiting(1.0), 1)
    return Felt(
        flood.name,
        broken,
        scene.sessions.slowest,
        worst.kind,
        worst.lost,
        _drops(scene) - dropped,
        counted(scene.box, Reason.KNOWN) - known,
    )


def every_flood(scene: Scene, seconds: float) -> Iterator[Felt]:
    for flood in FLOODS:
        yield suffer(scene, flood, seconds)


def connect(scene: Scene, number: int) -> float | None:
    """The seconds until a newcomer is served; None if it is not served."""
    source = CLIENTS[number % len(CLIENTS)]

    def dial() -> float | None:
        began = time.monotonic()
        try:
            end = SERVER, PORT
            with socket.create_connection(end, _CONNECT_SECONDS, (source, 0)) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
                return time.monotonic() - began if connection.recv(64) else None
        except OSError:
            return None

    return scene.place.world.call(dial)


def newcomers(scene: Scene, count: int) -> list[float | None]:
    """The waits of several newcomers, ten at a time."""
    with ThreadPoolExecutor(10) as pool:
        return list(pool.map(lambda number: connect(scene, number), range(count)))
