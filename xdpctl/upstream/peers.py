# SPDX-License-Identifier: GPL-2.0-or-later
"""`[[upstream.peers]]`: the routers and scrubbing centres that we speak BGP with."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, field

from xdpctl.base.net.prefix import Prefix, exact_address, text_of
from xdpctl.base.typed import Problems, show
from xdpctl.model.names import check_name

_Number = Annotated[int, Meta(ge=1, le=4_294_967_294)]
_Path = Annotated[str, Meta(max_length=4096)]
_COMMUNITY = re.compile(r"(\d{1,5}):(\d{1,5})|(\d{1,10}):(\d{1,10}):(\d{1,10})")
_NAME_MAX = 24  # characters: the origin of its rules is `bgp.` and the name
BLACKHOLE = "65535:666"  # RFC 7999


class PeerMode(StrEnum):
    """What a peer is asked: nothing, what a person approves, or also FlowSpec by itself."""

    OFF = "off"
    ASK = "ask"
    AUTO = "auto"


class Receive(StrEnum):
    """What becomes of FlowSpec routes that a peer sends."""

    OFF = "off"
    MONITOR = "monitor"
    ENFORCE = "enforce"


class PeerTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[upstream.peers]]`."""

    name: str
    address: str
    local_address: str
    peer_as: _Number
    local_as: _Number
    password_file: _Path = ""
    mode: PeerMode = PeerMode.ASK
    flowspec: bool = True
    limits: bool = True
    blackhole: list[str] = field(default_factory=lambda: [BLACKHOLE])
    next_hop: str = ""
    receive: Receive = Receive.OFF
    receive_most: Annotated[int, Meta(ge=1, le=10_000)] = 500
    receive_any: bool = False
    hold_time: Annotated[int, Meta(ge=3, le=180)] = 90

    def settings(self, number: int, problems: Problems) -> "Peer | None":
        """The settings; None, and what is wrong is added to `problems`."""
        before, place = problems.count, f"upstream.peers[{number}]"
        with problems.at(f"{place}.name"):
            check_name(self.name, "name")
        if len(self.name) > _NAME_MAX:
            problems.add(f"{place}.name is longer than {_NAME_MAX} characters")
        address, local, hop = (
            _address(text, f"{place}.{name}", problems)
            for name, text in (
                ("address", self.address),
                ("local_address", self.local_address),
                ("next_hop", self.next_hop or self.local_address),
            )
        )
        if address and local and address.family != local.family:
            problems.add(f"{place}.local_address is of another family than its address")
        for text in self.blackhole:
            if not _community(text):
                problems.add(f"{place}.blackhole has {show(text)}; give 65535:666 or 64500:1:666")
        if self.receive is not Receive.OFF and not self.flowspec:
            problems.add(f"{place}.receive needs flowspec = true")
        if problems.count > before or not (address and local and hop):
            return None
        return Peer(
            name=self.name,
            address=address,
            local_address=local,
            peer_as=self.peer_as,
            local_as=self.local_as,
            password_file=Path(self.password_file) if self.password_file else None,
            mode=self.mode,
            flowspec=self.flowspec,
            limits=self.limits,
            blackhole=tuple(self.blackhole),
            next_hop=hop,
            receive=self.receive,
            receive_most=self.receive_most,
            receive_any=self.receive_any,
            hold_time=self.hold_time,
        )


def _address(text: str, place: str, problems: Problems) -> Prefix | None:
    found = exact_address(text)
    if found is None:
        problems.add(f"{place} is {show(text)}; give an IP address")
    return found


def _community(text: str) -> bool:
    """Whether it is a community (RFC 1997) or a large community (RFC 8092)."""
    found = _COMMUNITY.fullmatch(text)
    if not found:
        return False
    short = [int(part) for part in found.groups()[:2] if part]
    long = [int(part) for part in found.groups()[2:] if part]
    return all(part < 1 << 16 for part in short) and all(part < 1 << 32 for part in long)


@dataclass(frozen=True, slots=True)
class Peer:
    """A BGP neighbour.

    `flowspec`: whether it takes part in FlowSpec (RFC 8955, RFC 8956), and `limits`, whether it
    takes routes that limit instead of dropping. `blackhole` are the
    communities by which it blackholes an address; none: it does not. `next_hop` is of blackhole
    routes. Of what it sends, `receive` says what becomes; `receive_most` routes are kept, towards
    our own prefixes, or with `receive_any` towards any.
    """

    name: str
    address: Prefix
    local_address: Prefix
    peer_as: int
    local_as: int
    next_hop: Prefix
    password_file: Path | None = None
    mode: PeerMode = PeerMode.ASK
    flowspec: bool = True
    limits: bool = True
    blackhole: tuple[str, ...] = (BLACKHOLE,)
    receive: Receive = Receive.OFF
    receive_most: int = 500
    receive_any: bool = False
    hold_time: int = 90

    @property
    def announces(self) -> bool:
        """Whether it may be asked something."""
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
    """Our BGP identifier: the local address; for IPv6 a number made of it, since it has 32 bits."""
    return ".".join(map(str, peer.local_address.address[-4:]))
