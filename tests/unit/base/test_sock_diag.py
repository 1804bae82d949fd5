# SPDX-License-Identifier: GPL-2.0-or-later
"""The messages of sock_diag, byte for byte: the requests, and the parsed answers."""

import socket

import pytest

from xdpctl.base.net import sock_diag
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.net.sock_diag import Message, TcpSocket, messages, tcp_socket
from xdpctl.errors import SocketsError

# one connection from 203.0.113.7:50000 to 192.0.2.1:80, as Linux 6.18 lists it on a little-endian
# machine; then the end of the list
IDENTITY = bytes.fromhex(
    "0050c350 c0000201 000000000000000000000000 cb007107 000000000000000000000000"
    "00000000 0110000000000000"
)
LISTED = bytes.fromhex("58000000 1400 0200 01000000 00000000 02010000") + IDENTITY + bytes(20)
DONE = bytes.fromhex("14000000 0300 0200 01000000 00000000 00000000")
MAPPED = (
    IDENTITY[:4]
    + socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.1")
    + socket.inet_pton(socket.AF_INET6, "::ffff:203.0.113.7")
    + IDENTITY[36:]
)
HELD = "3e1b0000"  # established, syn-sent, syn-recv, fin-wait, close-wait, last-ack, closing


def test_a_dump_requests_only_the_peers_of_the_prefix() -> None:
    four, six = sock_diag.dumps(parse_prefix("203.0.113.0/24"))
    condition = "14000100 08101400 0218 0000 ffffffff cb007100"
    assert four == bytes.fromhex(
        "5c000000 1400 0103 01000000 00000000 02060000" + HELD + "00" * 48 + condition
    )
    assert six == four[:16] + b"\x0a" + four[17:], "IPv4 peers of IPv6 sockets"


def test_a_dump_for_ipv6_asks_once() -> None:
    (request,) = sock_diag.dumps(parse_prefix("2001:db8::/32"))
    assert len(request) == request[0] == 16 + 56 + 4 + 12 + 16
    condition = "20000100 081c2000 0a20 0000 ffffffff 20010db8 000000000000000000000000"
    assert request[72:] == bytes.fromhex(condition)


def test_a_destruction_names_the_socket_by_its_cookie() -> None:
    request = sock_diag.destruction(TcpSocket(socket.AF_INET, IDENTITY))
    assert request == bytes.fromhex("48000000 1500 0500 01000000 00000000 02060000" + HELD) + (
        IDENTITY
    )
    assert request.endswith(bytes.fromhex("0110000000000000"))


def test_an_answer_is_read() -> None:
    first, last = messages(LISTED + DONE)
    one = tcp_socket(first)
    assert one == TcpSocket(socket.AF_INET, IDENTITY)
    assert (one.local, one.peer) == (bytes((192, 0, 2, 1)), bytes((203, 0, 113, 7)))
    assert one.cookie == bytes.fromhex("0110000000000000")
    assert (last.kind, sock_diag.error_number(last)) == (sock_diag.NLMSG_DONE, 0)


def test_mapped_addresses_are_ipv4_and_others_are_not() -> None:
    assert TcpSocket(socket.AF_INET6, MAPPED).peer == bytes((203, 0, 113, 7))
    six = socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    assert TcpSocket(socket.AF_INET6, IDENTITY[:20] + six + IDENTITY[36:]).peer == six


@pytest.mark.parametrize("length", [n for n in range(1, len(LISTED + DONE)) if n != len(LISTED)])
def test_a_cut_answer_is_refused(length: int) -> None:
    with pytest.raises(SocketsError, match=r"ends inside a header|which is cut"):
        list(messages((LISTED + DONE)[:length]))


@pytest.mark.parametrize("length", [0, 15, 0xFFFFFFFF])
def test_an_impossible_length_is_refused(length: int) -> None:
    with pytest.raises(SocketsError, match=f"a message of {length} bytes"):
        list(messages(length.to_bytes(4, "little") + LISTED[4:]))


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (Message(20, LISTED[16:-1]), "71 bytes of type 20"),
        (Message(16, LISTED[16:]), "72 bytes of type 16"),
        (Message(20, b"\x01" + LISTED[17:]), "family 1"),
    ],
)
def test_a_message_that_is_not_a_socket_is_refused(message: Message, said: str) -> None:
    with pytest.raises(SocketsError, match=said):
        tcp_socket(message)


def test_results_are_errnos() -> None:
    assert sock_diag.error_number(Message(2, bytes.fromhex("feffffff") + bytes(72))) == 2
    with pytest.raises(SocketsError, match="inside its result"):
        sock_diag.error_number(Message(2, b"\xfe\xff\xff"))
