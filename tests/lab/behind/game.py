# SPDX-License-Identifier: GPL-2.0-or-later
"""A game server inside that answers Valve's server queries, and two real clients in the world.

The server asks for a number of its own, as servers do (developer.valvesoftware.com, Server
queries). The clients are qstat, and the Python module a2s.
"""

import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from xml.etree import ElementTree

import a2s

from tests.lab.behind.places import CLIENTS, SERVER, Place

PORT = 27016
NAME = "Lunch break"
PATIENT_SECONDS = 3.0
_MAGIC, _NUMBER = b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"
_INFO, _PLAYERS, _RULES = b"TSource Engine Query\0", b"U", b"V"
INFORMATION = _MAGIC + _INFO  # the query of a client that has no number yet
_INFORMATION = (
    b"I\x11" + NAME.encode() + b"\0yard\0school\0School\0"
    + struct.pack("<HBBBccBB", 240, 1, 16, 0, b"d", b"l", 0, 1) + b"1.0\0"
)  # fmt: skip
_FOUND = "name", "rules/rule[@name='bell']", "players/player/name"
_ANSWERS = {
    _INFO: _INFORMATION,
    _PLAYERS: b"D\x01\0pupil\0" + struct.pack("<lf", 7, 60.0),
    _RULES: b"E" + struct.pack("<H", 1) + b"bell\08:19\0",
}


def _answer(query: bytes) -> bytes:
    """The answer of a server to a query; empty if it is none."""
    for asks, answer in _ANSWERS.items():
        if query.startswith(_MAGIC + asks):
            proved = query[len(_MAGIC + asks) :] == _NUMBER
            return _MAGIC + (answer if proved else b"A" + _NUMBER)
    return b""


@contextmanager
def game_server(here: Place) -> Iterator[None]:
    """Run the server; the world asks it from the first client's address."""

    def listen() -> socket.socket:
        listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listening.bind((SERVER, PORT))
        listening.settimeout(0.2)
        return listening

    def serve() -> None:
        while not stopped:
            with suppress(TimeoutError):
                query, client = listening.recvfrom(2048)
                if answer := _answer(query):
                    listening.sendto(answer, client)

    stopped = list[bool]()
    listening = here.server.call(listen)
    serving = here.server.start(serve)
    try:
        yield
    finally:
        stopped.append(True)
        serving.result()
        listening.close()


def ask_by_qstat(here: Place, client: str = CLIENTS[1]) -> float | None:
    """The seconds until qstat has information, rules and players; None if it has not all."""
    asks = ("quakestat", "-xml", "-R", "-P", "-srcip", client, "-a2s", f"{SERVER}:{PORT}")
    began = time.monotonic()
    with here.world.popen(*asks, stdout=subprocess.PIPE) as qstat:
        said = ElementTree.fromstring(qstat.communicate()[0])  # our own program's
    seconds = time.monotonic() - began
    found = [said.findtext(f"server/{path}") for path in _FOUND]
    return seconds if found == [NAME, "8:19", "pupil"] else None


def ask_by_a2s(here: Place) -> float | None:
    """The same by the Python module, which has no retries; from the address of the route."""

    def work() -> float | None:
        at, began = (SERVER, PORT), time.monotonic()
        with suppress(TimeoutError):
            name = a2s.info(at, PATIENT_SECONDS).server_name
            (player,) = a2s.players(at, PATIENT_SECONDS)
            told = name, player.name, a2s.rules(at, PATIENT_SECONDS)
            assert told == (NAME, "pupil", {"bell": "8:19"})
            return time.monotonic() - began
        return None

    return here.world.call(work)
