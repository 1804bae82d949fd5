# SPDX-License-Identifier: GPL-2.0-or-later
"""What no client of a protocol over UDP sends to its server, as matches. Pure.

Each comes from the protocol's specification. What only some clients leave out is not listed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from xdpctl.base.net.packet_fields import UDP_HEADER
from xdpctl.base.net.prefix import Prefix
from xdpctl.model.match.match import Match, build
from xdpctl.model.services import DNS, HTTPS

_HEADER = {4: 20 + UDP_HEADER, 6: 40 + UDP_HEADER}  # bytes in front of the payload


class Never(NamedTuple):
    """Packets that no client sends.

    `payload` is as in a match. `size` is what is compared of the payload's bytes: `<` or `!=`, and
    a number.
    """

    why: str
    payload: str = ""
    size: str = ""

    def match(self, destination: Prefix, port: int) -> Match:
        """These packets to a destination and port."""
        parts = {"destination": str(destination), "protocol": "udp", "destination_port": str(port)}
        if self.payload:
            parts["payload"] = self.payload
        if self.size:
            operator = self.size.rstrip("0123456789")
            bytes_of = int(self.size.removeprefix(operator)) + _HEADER[destination.family]
            parts["packet_length"] = f"{operator}{bytes_of}"
        return build(parts)


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol by its name, the usual port of its servers, and what no client sends them."""

    name: str
    port: int
    source: str  # its specification
    never: tuple[Never, ...]

    def matches(self, destination: Prefix, port: int | None = None) -> Iterator[tuple[str, Match]]:
        """Why no client sends it, and the match, for each; on the usual port if none is given."""
        for never in self.never:
            yield f"{self.name}: {never.why}", never.match(destination, port or self.port)


# The two versions of QUIC have 15 bits in common. One in 32,768 others has these, too.
_QUIC_VERSIONS = "00000001/94ccbc31"

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("dns", DNS, "RFC 1035, RFC 9619", (
            Never("a message has a header of 12 bytes", size="<12"),
            Never("only servers send responses", "@2 80/80"),
            Never("operations 8 to 15 do not exist", "@2 40/c0"),
            Never("operations 6 and 7 do not come over UDP", "@2 30/f0"),
            Never("a message has one question", "!@4 0001"),
            Never("a query has no answer", "@2 00/f8 & !@6 0000"),
        )),
        Protocol("quic", HTTPS, "RFC 9000, RFC 9369", (
            Never("a packet has 21 bytes or more", size="<21"),
            Never("the version does not exist", f"@0 80/80 & !@1 {_QUIC_VERSIONS}"),
            Never("an Initial has 1,200 bytes or more", "@0 8000000001/b0ffffffff", "<1200"),
            Never("an Initial has 1,200 bytes or more", "@0 906b3343cf/b0ffffffff", "<1200"),
            Never("only servers send a Retry", "@0 b000000001/b0ffffffff"),
            Never("only servers send a Retry", "@0 806b3343cf/b0ffffffff"),
        )),
        Protocol("a2s", 27015, "Valve, Server queries", (
            Never("only servers send information", "@0 ffffffff49"),
            Never("only servers send players", "@0 ffffffff44"),
            Never("only servers send rules", "@0 ffffffff45"),
            Never("only servers send numbers", "@0 ffffffff41"),
            Never("a query for information has its text", "@0 ffffffff54 & !@5 536f757263652045"),
        )),
        Protocol("ntp", 123, "RFC 5905", (
            Never("a packet has 48 bytes or more", size="<48"),
            Never("modes 6 and 7 are for a server's own administrator", "@0 06/06"),
        )),
        Protocol("sip", 5060, "RFC 3261", (
            Never("a message begins with a letter or a line end", "@0 80/80"),
        )),
        Protocol("wireguard", 51820, "wireguard.com/protocol", (
            Never("a message begins with its type and three zeros", "!@1 000000"),
            Never("types above 7 do not exist", "!@0 00/f8"),
            Never("types 5 and 7 do not exist", "@0 05/fd"),
            Never("type 6 does not exist", "@0 06"),
            Never("type 0 does not exist", "@0 00"),
            Never("an initiation has 148 bytes", "@0 01", "!=148"),
            Never("a response has 92 bytes", "@0 02", "!=92"),
            Never("a cookie has 64 bytes", "@0 03", "!=64"),
            Never("data has 32 bytes or more", "@0 04", "<32"),
        )),
    )
}  # fmt: skip
