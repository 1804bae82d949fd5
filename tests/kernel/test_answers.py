# SPDX-License-Identifier: GPL-2.0-or-later
"""What UDP services inside answer is counted by address and port, and nothing else is."""

import pytest

from tests.kernel.conftest import Filter
from tests.kernel.test_flows import echo, packet4, packet6, tcp
from tests.support.packets import address, udp
from xdpctl.datapath.answers import Answers

SERVER, CLIENT = address("192.0.2.1"), address("203.0.113.9")
SERVER6, CLIENT6 = address("2001:db8::1"), address("2001:db8:9::9")
RESPONSE, QUERY = b"\0\1\x80" + bytes(12), b"\0\1\0" + bytes(12)


@pytest.fixture
def answers(teaching: Filter) -> Answers:
    shared = teaching.loader._maps.shared
    shared["answers"].memory()[:] = bytes(len(shared["answers"].memory()))
    return Answers(teaching.loader.pins)


def out(port: int, content: bytes = RESPONSE, to: int = 40_000) -> bytes:
    return packet4(SERVER, CLIENT, udp(port, to, content), 17)


@pytest.mark.parametrize("port", [53, 123, 443, 1194, 27015])
def test_answers_are_counted_by_service(teaching: Filter, answers: Answers, port: int) -> None:
    for client in (1, 1, 1, 2, 1, 1):  # three times somebody else than before
        teaching.teach(out(port, b"\xc0\0\x80" + bytes(20), 40_000 + client))
    teaching.teach(packet6(SERVER6, CLIENT6, udp(port, 9, b"\xc0\0\x80" + bytes(20)), 17))
    assert (answers.of(SERVER, port), answers.of(SERVER6, port)) == (3, 1)
    assert answers.of(SERVER, 500) == answers.of(CLIENT, port) == answers.of(SERVER6, 500) == 0


@pytest.mark.parametrize(
    "frame",
    [
        out(53, QUERY),
        out(443, b"\x40" + bytes(30)),
        out(443, b""),
        out(40_000, to=53),
        packet4(SERVER, CLIENT, tcp(18, 53, 40_000), 6),
        packet4(SERVER, CLIENT, echo(0, 7), 1),
        packet4(SERVER, CLIENT, bytes(30), 17, fragment=100),
    ],
    ids=["a query", "QUIC data", "empty", "a client", "TCP", "ICMP", "a later fragment"],
)
def test_what_is_no_answer_is_not_counted(teaching: Filter, answers: Answers, frame: bytes) -> None:
    teaching.teach(frame)
    assert [answers.of(SERVER, port) for port in (53, 443, 40_000)] == [0, 0, 0]


def test_a_service_that_takes_the_cell_of_another_begins_anew(
    teaching: Filter, answers: Answers
) -> None:
    teaching.teach(out(53))
    cells = teaching.loader._maps.shared["answers"].memory().cast("Q")
    (place,) = [at for at, cell in enumerate(cells) if cell and at % 2 == 0]
    cells[place] ^= 1 << 40
    assert answers.of(SERVER, 53) == 0
    teaching.teach(out(53))
    assert answers.of(SERVER, 53) == 1
