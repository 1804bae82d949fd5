# SPDX-License-Identifier: GPL-2.0-or-later
"""BGP routes: FlowSpec (RFC 8955, RFC 8956), blackholes (RFC 7999), diversions. Values only."""

import re
from enum import StrEnum
from typing import ClassVar

import msgspec

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.errors import RuleError
from xdpctl.model.match.match import Match, matching
from xdpctl.model.match.text import parse

NO_EXPORT = "no-export"  # RFC 1997
_COMMUNITY = re.compile(r"(\d{1,5}):(\d{1,5})|(\d{1,10}):(\d{1,10}):(\d{1,10})", re.ASCII)


class Kind(StrEnum):
    """What a route asks for: to filter, to drop all to a prefix, or to clean all to a prefix."""

    FLOWSPEC = "flowspec"
    RTBH = "rtbh"
    DIVERSION = "diversion"


class Flow(msgspec.Struct, frozen=True, tag=Kind.FLOWSPEC.value):
    """A FlowSpec route: packets that `match` takes pass at `rate` bytes a second; 0 drops them."""

    kind: ClassVar[Kind] = Kind.FLOWSPEC
    match: str
    rate: int = 0

    @property
    def takes(self) -> Match:
        """The packets that it takes; RuleError if it is not valid."""
        return parse(self.match)

    @property
    def destination(self) -> Prefix:
        """The destination of these packets; RuleError if the match has none."""
        destination = self.takes.get("destination")
        if not isinstance(destination, Prefix):
            raise RuleError("a route has a destination", "route", "")
        return destination

    @property
    def everything(self) -> bool:
        """Whether it takes all packets to its destination."""
        return not self.takes.narrowing - {"destination"}


class Unicast(msgspec.Struct, frozen=True):
    """A route to a prefix. `next_hop` is "" as long as no peer is chosen."""

    kind: ClassVar[Kind]
    everything: ClassVar[bool] = True
    rate: ClassVar[int] = 0
    prefix: str
    next_hop: str = ""
    communities: tuple[str, ...] = ()

    @property
    def takes(self) -> Match:
        """All packets to the prefix; RuleError if it is not valid."""
        return matching((("destination", self.destination),))

    @property
    def destination(self) -> Prefix:
        """The prefix; RuleError if it is not valid."""
        return parse_prefix(self.prefix, "route")


class Blackhole(Unicast, frozen=True, tag=Kind.RTBH.value):
    """A route by whose communities a router drops everything to the prefix."""

    kind: ClassVar[Kind] = Kind.RTBH


class Diversion(Unicast, frozen=True, tag=Kind.DIVERSION.value):
    """A route by which a scrubbing centre draws everything to the prefix, and cleans it."""

    kind: ClassVar[Kind] = Kind.DIVERSION


Route = Flow | Blackhole | Diversion
# Seconds until the routers of the Internet follow a route, and for which it is announced at least:
# each time that it ends and is announced again, people wait for so many routers.
SPREADS, LASTS = {Kind.DIVERSION: 180.0}, {Kind.DIVERSION: 3_600.0}


def long_enough(prefix: Prefix, ipv4: int, ipv6: int) -> bool:
    """Whether a prefix is at least as long as its family needs."""
    return prefix.length >= (ipv4 if prefix.family == 4 else ipv6)


def is_community(text: str) -> bool:
    """Whether it is a community (RFC 1997) or a large community (RFC 8092)."""
    parsed = _COMMUNITY.fullmatch(text)
    if not parsed:
        return False
    short = [int(part) for part in parsed.groups()[:2] if part]
    long = [int(part) for part in parsed.groups()[2:] if part]
    return all(part < 1 << 16 for part in short) and all(part < 1 << 32 for part in long)
