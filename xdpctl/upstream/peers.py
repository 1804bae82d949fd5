# SPDX-License-Identifier: GPL-2.0-or-later
"""`[[upstream.peers]]`: the routers and scrubbing centres with which we speak BGP."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from xdpctl.base.net.prefix import Prefix, text_of
from xdpctl.base.problems import Problems, show
from xdpctl.base.typed import Address, Table
from xdpctl.model.names import check_name
from xdpctl.model.route import is_community

_Number = Annotated[int, Meta(ge=1, le=4_294_967_294)]
_NAME_MAX = 24  # characters: the origin of its rules is `bgp.` and the name
BLACKHOLE = "65535:666"  # RFC 7999


class PeerMode(StrEnum):
    """What a peer is asked: nothing, what a person approves, or also FlowSpec by itself."""

    OFF = "off"
    ASK = "ask"
    AUTO = "auto"


class Receive(StrEnum):
    """What is done with the FlowSpec routes that a peer sends."""

    OFF = "off"
    MONITOR = "monitor"
    ENFORCE = "enforce"


class Peer(Table, frozen=True):
    """`[[upstream.peers]]`: a BGP neighbour.

    `flowspec`: whether it takes part in FlowSpec (RFC 8955, RFC 8956). `limits`: whether it takes
    routes that limit instead of dropping. `blackhole` has the communities by which it blackholes an
    address; empty if it does not. `next_hop` is that of blackhole routes; None for the local
    address. `receive` says what is done with its routes. At most `receive_most` of them are kept:
    those towards our own prefixes, or with `receive_any` towards any.
    """

    name: str
    address: Address
    local_address: Address
    peer_as: _Number
    local_as: _Number
    password_file: Path | None = None
    mode: PeerMode = PeerMode.ASK
    flowspec: bool = True
    limits: bool = True
    blackhole: tuple[str, ...] = (BLACKHOLE,)
    next_hop: Address | None = None
    receive: Receive = Receive.OFF
    receive_most: Annotated[int, Meta(ge=1, le=10_000)] = 500
    receive_any: bool = False
    hold_time: Annotated[int, Meta(ge=3, le=180)] = 90

    def check(self, place: str, problems: Problems) -> None:
        """Refuse names, addresses and communities that are not valid."""
        with problems.at(f"{place}.name"):
            check_name(self.name, "name")
        if len(self.name) > _NAME_MAX:
            problems.add(f"{place}.name is longer than {_NAME_MAX} characters")
        if self.address.family != self.local_address.family:
            problems.add(f"{place}.local_address is of another family than its address")
        for text in self.blackhole:
            if not is_community(text):
                problems.add(f"{place}.blackhole has {show(text)}; give 65535:666 or 64500:1:666")
        if self.receive is not Receive.OFF and not self.flowspec:
            problems.add(f"{place}.receive needs flowspec = true")

    @property
    def blackhole_hop(self) -> Prefix:
        """The next hop of blackhole routes."""
        return self.next_hop or self.local_address

    @property
    def announces(self) -> bool:
        """Whether routes may be announced to this peer."""
        return self.mode is not PeerMode.OFF

    @property
    def origin(self) -> str:
        """The origin of rules made of its routes."""
        return f"bgp.{self.name}"

    @property
    def host(self) -> str:
        """Its address as text."""
        return text_of(self.address)


def router_id(peer: Peer) -> str:
    """Our BGP identifier, of 32 bits: the local address, or the last 32 bits of an IPv6 address."""
    return ".".join(map(str, peer.local_address.address[-4:]))
