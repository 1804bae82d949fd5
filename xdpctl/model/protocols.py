# SPDX-License-Identifier: GPL-2.0-or-later
"""What no client of a protocol over UDP sends to its server, as matches. Pure.

Each comes from the protocol's specification. What only some clients leave out is not listed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from xdpctl.base.net.packet_fields import IP_HEADER, UDP_HEADER
from xdpctl.base.net.prefix import Prefix
from xdpctl.model.match.match import Match, build
from xdpctl.model.services import DNS, HTTPS

_HEADER = {family: size + UDP_HEADER for family, size in IP_HEADER.items()}


class Never(NamedTuple):
    """Packets that no client sends.

    `payload` is as in a match. They have less than `below` bytes of payload, if it is not 0: more
    bytes may be options of the IP header.
    """

    what: str
    payload: str = ""
    below: int = 0

    def match(self, destination: Prefix, port: int) -> Match:
        """These packets to a destination and port."""
        parts = {"destination": str(destination), "protocol": "udp", "destination_port": str(port)}
        if self.payload:
            parts["payload"] = self.payload
        if self.below:
            parts["packet_length"] = f"<{self.below + _HEADER[destination.family]}"
        return build(parts)


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol by its name, the usual port of its servers, and what no client sends them."""

    name: str
    port: int
    never: tuple[Never, ...]

    def matches(self, destination: Prefix, port: int | None = None) -> Iterator[tuple[str, Match]]:
        """What it is, and the match, for each; on the usual port if none is given."""
        for never in self.never:
            yield f"{self.name}: {never.what}", never.match(destination, port or self.port)


# The two versions of QUIC have 15 bits in common. One in 32,768 others has these, too.
_QUIC_VERSIONS = "00000001/94ccbc31"
_TEXT = f"@5 {b'Source E'.hex()}"  # of "Source Engine Query"
_COOKIE = "@4 2112a442"  # of STUN; clients of RFC 3489 send none
_OFFLINE = "00ffff00fefefefe"  # RakNet's message outside a connection: the first of 16 bytes
_INIT = b"TS3INIT1".hex()

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        # RFC 1035, RFC 9619
        Protocol("dns", DNS, (
            Never("shorter than a header", below=12),
            Never("a response", "@2 80/80"),
            Never("an operation above 7, which does not exist", "@2 40/c0"),
            Never("an operation that does not come over UDP", "@2 30/f0"),
            Never("more than one question", "!@4 0000/fffe"),
            Never("a query with an answer", "@2 00/f8 & !@6 0000"),
        )),
        # RFC 9000, RFC 9369
        Protocol("quic", HTTPS, (
            Never("shorter than any packet", below=21),
            Never("neither version 1 nor 2", f"@0 c0/c0 & !@1 {_QUIC_VERSIONS}"),
            Never("an Initial of less than 1,200 bytes", "@0 c000000001/f0ffffffff", 1200),
            Never("an Initial of less than 1,200 bytes", "@0 d06b3343cf/f0ffffffff", 1200),
            Never("a Retry, which only servers send", "@0 f000000001/f0ffffffff"),
            Never("a Retry, which only servers send", "@0 c06b3343cf/f0ffffffff"),
        )),
        # developer.valvesoftware.com, Server queries
        Protocol("a2s", 27015, (
            Never("an answer with information", "@0 ffffffff49"),
            Never("an answer with players", "@0 ffffffff44"),
            Never("an answer with rules", "@0 ffffffff45"),
            Never("an answer with a number", "@0 ffffffff41"),
            Never("a query for information without its text", f"@0 ffffffff54 & !{_TEXT}"),
        )),
        # RFC 5905
        Protocol("ntp", 123, (
            Never("shorter than any packet", below=48),
            Never("mode 7, which only a server's own administrator uses", "@0 07/07"),
        )),
        # RFC 3261, RFC 3486
        Protocol("sip", 5060, (
            Never("neither text, nor compressed, nor a keep-alive", "@0 80/80 & !@0 f8/f8"),
        )),
        # wireguard.com/protocol
        Protocol("wireguard", 51820, (
            Never("no three zeros behind the type", "!@1 000000"),
            Never("a type above 7, which does not exist", "!@0 00/f8"),
            Never("type 5 or 7, which does not exist", "@0 05/fd"),
            Never("type 6, which does not exist", "@0 06"),
            Never("type 0, which does not exist", "@0 00"),
            Never("an initiation of less than 148 bytes", "@0 01", 148),
            Never("a response of less than 92 bytes", "@0 02", 92),
            Never("a cookie of less than 64 bytes", "@0 03", 64),
            Never("data of less than 32 bytes", "@0 04", 32),
        )),
        # RFC 8489, RFC 8656
        Protocol("stun", 3478, (
            Never("shorter than a header", below=4),
            Never("neither STUN nor a channel's data nor DTLS", "@0 80/80"),
            Never("a response, which only servers send", f"@0 01/c1 & {_COOKIE}"),
            Never("a length that is no multiple of four", f"!@3 00/03 & {_COOKIE}"),
        )),
        # Minecraft: RakNet's MessageIdentifiers.h; other games of RakNet send other bytes
        Protocol("bedrock", 19132, (
            Never("a message outside a connection that does not exist", "@0 20/e0"),
            Never("a message outside a connection that does not exist", "@0 40/c0"),
            Never("a ping without the bytes that all have", f"@0 01 & !@9 {_OFFLINE}"),
            Never("a ping of less than 25 bytes", "@0 01", 25),
            Never("a first request without the bytes that all have", f"@0 05 & !@1 {_OFFLINE}"),
            Never("a second request without the bytes that all have", f"@0 07 & !@1 {_OFFLINE}"),
            Never("an answer to a ping", "@0 1c"),
            Never("an answer to a first request", "@0 06"),
            Never("an answer to a second request", "@0 08"),
        )),
        # github.com/ReSpeak/tsdeclarations: ts3protocol.md
        Protocol("teamspeak", 9987, (
            Never("shorter than a header", below=13),
            Never("a type above 8, which does not exist", "@12 08/08 & !@12 00/07"),
            Never("a first message without its text", f"@12 08/0f & !@0 {_INIT}"),
        )),
    )
}  # fmt: skip
