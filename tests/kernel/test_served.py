# SPDX-License-Identifier: GPL-2.0-or-later
"""What services inside serve is counted by address, protocol and port, and nothing else is."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.kernel.conftest import Filter
from tests.kernel.test_flows import (
    ACK,
    RST,
    SYN,
    drop_all,
    echo,
    forget,
    packet4,
    packet6,
    tcp,
)
from tests.kernel.test_heads import observe
from tests.kernel.test_signatures import Armed
from tests.support.packets import address, udp
from xdpctl.abi.arrays import SERVED
from xdpctl.abi.constants import Reason
from xdpctl.base.net.prefix import Prefix
from xdpctl.datapath.heads import no_masks
from xdpctl.datapath.served import Counts, PinnedServed, Service
from xdpctl.model.match.components import TCP, UDP

SERVER, CLIENT = address("192.0.2.1"), address("203.0.113.9")
SERVER6, CLIENT6 = address("2001:db8::1"), address("2001:db8:9::9")
RESPONSE, QUERY = b"\0\1\x80" + bytes(12), b"\0\1\0" + bytes(12)


@pytest.fixture
def served(teaching: Filter) -> PinnedServed:
    shared = teaching.loader._maps.shared
    for name in ("served", "awaited", "proofs"):
        shared[name].memory()[:] = bytes(len(shared[name].memory()))
    forget(teaching)
    return PinnedServed(teaching.loader.pins)


def answers(served: PinnedServed, address: bytes, port: int) -> int:
    return served.count(Service(Prefix(address, 8 * len(address)), UDP, port))


def out(port: int, content: bytes = RESPONSE, to: int = 40_000) -> bytes:
    return packet4(SERVER, CLIENT, udp(port, to, content), 17)


@pytest.mark.parametrize("port", [53, 123, 443, 1194, 27015])
def test_answers_are_counted_by_service(teaching: Filter, served: PinnedServed, port: int) -> None:
    for client in (1, 1, 1, 2, 1, 1):  # three runs of one client each
        teaching.teach(out(port, b"\xc0\0\x80" + bytes(20), 40_000 + client))
    assert answers(served, SERVER, port) == 3
    assert answers(served, SERVER, 500) == answers(served, CLIENT, port) == 0
    # may take the cell of the other, so no count is read after this
    teaching.teach(packet6(SERVER6, CLIENT6, udp(port, 9, b"\xc0\0\x80" + bytes(20)), 17))
    assert answers(served, SERVER6, port) == 1
    assert answers(served, SERVER6, 500) == answers(served, CLIENT6, port) == 0


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
def test_packets_that_are_not_answers_are_not_counted(
    teaching: Filter, served: PinnedServed, frame: bytes
) -> None:
    teaching.teach(frame)
    assert [answers(served, SERVER, port) for port in (53, 443, 40_000)] == [0, 0, 0]


def test_a_service_that_takes_anothers_cell_begins_at_zero(
    teaching: Filter, served: PinnedServed
) -> None:
    teaching.teach(out(53))
    cells = np.frombuffer(teaching.loader._maps.shared["served"].memory(), SERVED)
    cells["tag"][cells["tag"] != 0] ^= 1 << 8
    assert answers(served, SERVER, 53) == 0
    teaching.teach(out(53))
    assert answers(served, SERVER, 53) == 1


def of_tcp(flags: int, number: int, ack: int, data: bytes = b"", to: int = 40_000) -> bytes:
    """A TCP packet of a server on port 80."""
    head = tcp(flags, 80, to)
    numbered = head[:4] + number.to_bytes(4, "big") + ack.to_bytes(4, "big") + head[12:]
    return packet4(SERVER, CLIENT, numbered + data, 6)


def count(served: PinnedServed, port: int = 80, at: bytes = SERVER) -> Counts:
    return served.of(Service(Prefix(at, 32), TCP, port))


@pytest.mark.parametrize(
    ("after", "counted"),
    [
        ([], 0),
        ([of_tcp(ACK, 1001, 9, b"data")] * 3, 1),
        ([of_tcp(ACK, 1001, 9), of_tcp(ACK, 1001, 1009), of_tcp(ACK, 1001, 2009)], 1),
        ([of_tcp(ACK, 1001, 9)] * 3, 0),
        ([of_tcp(RST, 1001, 9)], 0),
    ],
    ids=["a SYN-ACK alone", "data", "an upload that is accepted", "the same ACK", "a reset"],
)
def test_a_connection_counts_once_the_server_has_accepted_it(
    teaching: Filter, served: PinnedServed, after: list[bytes], counted: int
) -> None:
    for frame in [of_tcp(SYN | ACK, 1000, 9), *after]:
        teaching.teach(frame)
    assert count(served).count == counted
    assert count(served, 81).count == count(served, at=CLIENT).count == 0


def test_connections_that_are_not_to_an_inside_service_are_not_counted(
    teaching: Filter, served: PinnedServed
) -> None:
    teaching.teach(of_tcp(SYN, 7, 0))  # it is a client of a server outside
    teaching.teach(of_tcp(ACK, 8, 1, b"GET", 40_000))
    teaching.teach(of_tcp(ACK, 1001, 9, b"data", 40_001))  # its handshake was not seen
    teaching.teach(of_tcp(ACK, 1001, 10, b"", 40_002))
    teaching.teach(of_tcp(ACK, 1001, 11, b"", 40_002))
    assert count(served).count == 0


def test_a_client_that_acknowledged_the_syn_ack_counts_at_the_first_answer(
    teaching: Filter, served: PinnedServed
) -> None:
    acknowledges = [packet4(CLIENT, SERVER, tcp(ACK, 40_000, 80, 8, n), 6) for n in (999, 1001)]
    drop_all(teaching)
    try:
        teaching.teach(of_tcp(SYN | ACK, 1000, 8))
        for frame in (*acknowledges, acknowledges[1]):
            teaching.judge(frame, outside=True)
    finally:
        Armed(teaching).hold([])
    assert count(served).count == 0, "the application has not answered"
    for _ in range(3):
        teaching.teach(of_tcp(ACK, 1001, 9, b"data"))
        assert count(served).count == 1


def handshake(to: int) -> list[bytes]:
    """An incoming SYN and ACK, each followed by the server's packet."""
    syn, ack = (
        packet4(CLIENT, SERVER, tcp(flags, to, 80, 8, number), 6)
        for flags, number in ((SYN, 0), (ACK, 1001))
    )
    return [
        syn,
        of_tcp(SYN | ACK, 1000, 9, to=to),
        ack,
        of_tcp(ACK, 1001, 9, b"data", to),
    ]


@pytest.fixture
def observed(teaching: Filter) -> Iterator[Filter]:
    observe(teaching, 1, Reason.NO_RULE)
    yield teaching
    teaching.datapath.heads.observe(no_masks())


@pytest.mark.parametrize(("waited", "number"), [(0.02, 3), (0.1, 4), (0.3, 5), (1.5, 6), (9.0, 7)])
def test_waits_are_counted_by_their_class(
    observed: Filter, served: PinnedServed, waited: float, number: int
) -> None:
    """From a SYN that is sampled to the SYN-ACK, and from the ACK of that to the first data."""
    awaited = np.frombuffer(observed.loader._maps.shared["awaited"].memory(), np.uint64)
    came_in, went_out = handshake(40_000)[::2], handshake(40_000)[1::2]
    for asked, answer in zip(came_in, went_out, strict=True):
        observed.judge(asked, outside=True)
        (place,) = np.flatnonzero(awaited[::2])
        awaited[2 * place + 1] -= np.uint64(waited * 1e9)
        observed.judge(asked, outside=True)  # a repeated SYN has waited since the first one
        observed.teach(answer)
        observed.teach(answer)
    found = count(served)
    for waits in (found.syn_acks, found.data):
        assert waits == [int(each == number) for each in range(len(waits))]
    assert found.count == 1
