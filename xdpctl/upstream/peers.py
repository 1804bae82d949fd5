# SPDX-License-Identifier: GPL-2.0-or-later
"""`[[upstream.peers]]`: the routers and scrubbing centres with which we speak BGP."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from xdpctl.base.net.prefix import Prefix, text_of
from xdpctl.base.problems import Problems, show
from xdpctl.base.typed import Address, Table
from xdpctl.model.match.components import COMPONENTS
from xdpctl.model.match.match import Match
from xdpctl.model.names import check_name
from xdpctl.model.route import is_community, long_enough

_Number = Annotated[int, Meta(ge=1, le=4_294_967_294)]
InterfaceName = Annotated[str, Meta(min_length=1, max_length=15)]  # IFNAMSIZ
_NAME_MAX = 24  # characters: the origin of its rules is `bgp.` and the name
BLACKHOLE = "65535:666"  # RFC 7999
FLOWSPEC = tuple(name for name, component in COMPONENTS.items() if component.of_flowspec)
ROUTES_MAX = 100


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


class Takes(Table, frozen=True, kw_only=True):
    """The requests that a router takes.

    `flowspec`: routes of RFC 8955 and RFC 8956, of these `components`, at most `most` at a time.
    `limits`: also routes that limit instead of dropping. `blackhole` has the communities by which
    it blackholes; empty if it does not. It blackholes prefixes from the length `blackhole_from` on.
    `no_export` is added to the communities. It diverts if `returns` has the interface by which
    packets come back that it has cleaned: prefixes up to the length `divert_to`, since networks
    take no longer ones, with the communities of `divert`. With `originate`, our prefix around the
    destination of a FlowSpec route is announced with it, since RFC 8955, section 6, wants that.
    """

    flowspec: bool = True
    limits: bool = True
    components: tuple[str, ...] = FLOWSPEC
    most: Annotated[int, Meta(ge=1, le=ROUTES_MAX)] = 20
    blackhole: tuple[str, ...] = (BLACKHOLE,)
    blackhole_from: Annotated[int, Meta(ge=8, le=32)] = 32
    blackhole_from_ipv6: Annotated[int, Meta(ge=16, le=128)] = 128
    no_export: bool = True
    originate: bool = False
    returns: InterfaceName | None = None
    divert: tuple[str, ...] = ()
    divert_to: Annotated[int, Meta(ge=8, le=32)] = 24
    divert_to_ipv6: Annotated[int, Meta(ge=16, le=128)] = 48

    def check(self, place: str, problems: Problems) -> None:
        """Refuse communities and components that are not valid."""
        for name, texts in (("blackhole", self.blackhole), ("divert", self.divert)):
            for text in texts:
                if not is_community(text):
                    fix = "give 65535:666 or 64500:1:666"
                    problems.add(f"{place}.{name} has {show(text)}; {fix}")
        if self.divert and self.returns is None:
            problems.add(f"{place}.divert needs returns: where packets come back")
        for name in self.components:
            if name not in FLOWSPEC:
                known = ", ".join(FLOWSPEC)
                problems.add(f"{place}.components has {show(name)}; give some of {known}")
        if "destination" not in self.components:
            problems.add(f"{place}.components lacks destination, which each route has")

    def blackholes(self, prefix: Prefix) -> bool:
        """Whether it blackholes a prefix of that length."""
        long = long_enough(prefix, self.blackhole_from, self.blackhole_from_ipv6)
        return bool(self.blackhole) and long

    def diverted(self, victim: Prefix) -> Prefix | None:
        """The prefix that it would draw for a victim; None if it diverts nothing."""
        if self.returns is None:
            return None
        longest = self.divert_to if victim.family == 4 else self.divert_to_ipv6
        return victim.widened(min(victim.length, longest))

    def lacks(self, match: Match) -> list[str]:
        """The components of a match that it does not take."""
        return [name for name, _ in match.components if name not in self.components]


class Peer(Takes, frozen=True):
    """`[[upstream.peers]]`: a BGP neighbour, and what it takes.

    It is asked about what fills `uplink`; None for the only one. `ttl_security`: both ends are on
    one link, and nothing that comes from farther is taken (GTSM, RFC 5082). `next_hop` is that of
    blackhole routes; None for the local address. `receive` says what is done with its
    routes. At most `receive_most` of them are kept: those towards our own prefixes, or with
    `receive_any` towards any. `looking_glass` is where people see the provider's routes; `{prefix}`
    in it stands for what to look for.
    """

    name: str
    address: Address
    local_address: Address
    peer_as: _Number
    local_as: _Number
    uplink: str | None = None
    password_file: Path | None = None
    mode: PeerMode = PeerMode.ASK
    next_hop: Address | None = None
    receive: Receive = Receive.OFF
    receive_most: Annotated[int, Meta(ge=1, le=10_000)] = 500
    receive_any: bool = False
    ttl_security: bool = False
    hold_time: Annotated[int, Meta(ge=3, le=180)] = 90
    looking_glass: Annotated[str, Meta(max_length=300)] = ""

    def check(self, place: str, problems: Problems) -> None:
        """Refuse names, addresses and communities that are not valid."""
        with problems.at(f"{place}.name"):
            check_name(self.name, "name")
        if len(self.name) > _NAME_MAX:
            problems.add(f"{place}.name is longer than {_NAME_MAX} characters")
        if self.address.family != self.local_address.family:
            problems.add(f"{place}.local_address is of another family than its address")
        Takes.check(self, place, problems)
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
