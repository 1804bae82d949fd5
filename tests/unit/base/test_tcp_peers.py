# SPDX-License-Identifier: GPL-2.0-or-later
"""This host's TCP peers in the kernel's tables, and the connections that a drop would break."""

import socket
from pathlib import Path

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.net.tcp_peers import Connections, Peers, parse

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"


def line(peer: bytes, state: str = "01") -> str:
    words = (int.from_bytes(peer[at : at + 4], "little") for at in range(0, len(peer), 4))
    address = "".join(f"{word:08X}" for word in words)
    return f"   0: 0100007F:1F90 {address}:C350 {state} 00000000:00000000 00:00000000 00000000 0\n"


FOUR, SIX = bytes((203, 0, 113, 7)), socket.inet_pton(socket.AF_INET6, "2001:db8::7")
MAPPED = bytes(10) + b"\xff\xff" + FOUR


def test_established_connections_are_counted_by_peer() -> None:
    table = HEAD + line(FOUR) * 3 + line(FOUR, "06") + line(SIX) + line(MAPPED) + "half a li"
    assert parse(table) == {FOUR: 4, SIX: 1}


def test_each_peer_counts_once_however_it_is_covered() -> None:
    peers = Peers({FOUR: 4, SIX: 1, bytes((192, 0, 2, 1)): 9})
    for named, wanted in (
        (["203.0.113.7"], 4),
        (["203.0.113.0/24", "203.0.113.7", "2001:db8::/32"], 5),
        (["0.0.0.0/0"], 13),
        (["198.51.100.1"], 0),
    ):
        assert peers.count([parse_prefix(one) for one in named]) == wanted
    assert FOUR in peers
    assert bytes(4) not in peers


def test_the_kernels_table_is_read_at_most_once_a_second(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
    ):
        assert Connections().now().count([parse_prefix("127.0.0.1")]) >= 1
    table = tmp_path / "tcp"
    table.write_text(HEAD + line(FOUR))
    asked = Connections((table, tmp_path / "none"))
    assert FOUR in asked.now()
    table.write_text(HEAD)
    assert FOUR in asked.now(), "within the second"
