# SPDX-License-Identifier: GPL-2.0-or-later
"""People beside the running detector, on a box that has just started: it hits nobody."""

import socket
from collections.abc import Iterator

import pytest

from bench.detection import live
from bench.detection.live import Scene
from bench.harm import scenarios
from bench.harm.pupils import asked_of_a_server_that_hangs
from tests.lab.behind.people import PORT
from tests.lab.behind.places import CLIENTS, SERVER

_REQUEST = b"GET /class HTTP/1.1\r\nHost: school\r\nUser-Agent: CrOS\r\n\r\n"


@pytest.fixture(scope="module")
def young() -> Iterator[Scene]:
    with live.scene("bridge", taught=False) as made:
        yield made


@pytest.mark.parametrize(
    "play",
    [
        scenarios.uploaded,
        scenarios.tunnelled,
        scenarios.tunnelled_in_fragments,
        scenarios.known_beside_forged,
        scenarios.dns_answered,
        scenarios.http3_answered,
        asked_of_a_server_that_hangs,
    ],
    ids=lambda play: play.__name__,
)
def test_people_are_served_in_every_scenario(young: Scene, play: object) -> None:
    assert callable(play)
    assert play(young) >= 0.9
    assert young.sessions.all_answer()


def test_a_service_that_does_not_answer_is_helped(young: Scene) -> None:
    assert scenarios.dns_unanswered(young) < 0.2


def test_a_class_that_fetches_one_page_is_served(young: Scene) -> None:
    """1,500 new clients within seconds, all with the same request."""

    def fetch() -> int:
        served = 0
        for number in range(1_500):
            source = CLIENTS[number % len(CLIENTS)], 0
            with socket.create_connection((SERVER, PORT), 5, source) as pupil:
                pupil.sendall(_REQUEST)
                served += bool(pupil.recv(4_096))
        return served

    assert young.place.world.call(fetch) == 1_500


def test_errors_that_cite_a_flow_do_not_carry_a_blocklisted_source_in(young: Scene) -> None:
    assert scenarios.errors_that_cite_a_flow(young) < 0.1
