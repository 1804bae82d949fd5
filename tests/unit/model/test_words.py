# SPDX-License-Identifier: GPL-2.0-or-later
"""Matches in words."""

import pytest

from xdpctl.model.match import text
from xdpctl.model.match.words import in_words


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ("src 203.0.113.7", "packets from 203.0.113.7"),
        ("dst 198.51.100.7 tcp flags syn&!ack", "plain SYN to 198.51.100.7"),
        ("tcp flags syn+ack", "SYN-ACK"),
        ("tcp flags ack&!syn&!rst&!fin&!psh", "plain ACK"),
        ("tcp flags ack&!syn&!rst&!fin", "ACK"),
        ("tcp flags rst", "RST"),
        ("tcp flags psh", "TCP with flags psh"),
        ("tcp flags cwr", "TCP with flags cwr"),
        ("tcp flags ack&psh", "TCP with flags psh+ack"),
        ("udp fragment first", "first fragments of UDP"),
        ("udp fragment first,later", "UDP (fragment later,first)"),
        ("tcp flags !syn", "TCP with flags !syn"),
        ("tcp flags syn,rst", "TCP with flags syn,rst"),
        ("dst 198.51.100.7 tcp dst-port 443", "tcp to 198.51.100.7 port 443".replace("tcp", "TCP")),
        (
            "udp src-port 53 dst 198.51.100.7 length >=512",
            "UDP from port 53 to 198.51.100.7 of 512 or more bytes",
        ),
        ("src 203.0.113.0/24 udp src-port 123", "UDP from 203.0.113.0/24 port 123"),
        ("udp dst-port 1000-2000,53", "UDP to port 53, 1000 to 2000"),
        (
            "udp dst-port 27015 payload @0 ffffffff54 & @8 40/c0",
            "UDP to port 27015 with payload @0 ffffffff54 and @8 40/c0",
        ),
        ("icmp icmp-type 8", "ICMP type 8"),
        ("icmpv6 icmp-type 128", "icmpv6 type 128"),
        ("gre dst 198.51.100.7", "GRE to 198.51.100.7"),
        ("proto 200", "protocol 200"),
        ("dst 198.51.100.7 fragment later", "later fragments to 198.51.100.7"),
        ("udp fragment later", "later fragments of UDP"),
        ("udp fragment dont", "UDP (unfragmented, DF set)"),
        ("udp fragment !dont&!later&!first&!last", "UDP (unfragmented, DF not set)"),
        ("udp fragment !later&!first", "UDP (unfragmented)"),
        ("udp fragment later&!last", "middle fragments of UDP"),
        ("udp ttl 64 vlan 5", "UDP with TTL 64, VLAN 5"),
        ("udp port 53", "UDP with port 53 at either end"),
    ],
)
def test_a_match_is_said_in_words(match: str, words: str) -> None:
    assert in_words(text.parse(match)) == words
