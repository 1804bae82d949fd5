# SPDX-License-Identifier: GPL-2.0-or-later
"""What a database says of an address, and what every database can be asked."""

from dataclasses import dataclass
from typing import Protocol

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import Keys
from xdpctl.errors import ConfigError


class LayoutError(ConfigError):
    """A sound database, but not of countries or ASes; says which fields it has."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address is: "" and 0 stand for unknown."""

    country: str  # ISO 3166-1 alpha-2, or the database's own such as EU
    asn: int
    as_name: str
    network: str  # the database's own prefix that answered, or ""


class GeoDatabase(Protocol):
    """Countries, ASes, or both, of IPv4 and IPv6 networks."""

    @property
    def description(self) -> str:
        """What it says of itself, for people."""
        ...

    @property
    def built(self) -> float:
        """When its maker made it, in Unix seconds."""
        ...

    @property
    def has_countries(self) -> bool:
        """Whether it knows countries."""
        ...

    @property
    def has_asns(self) -> bool:
        """Whether it knows AS numbers."""
        ...

    def lookup(self, address: Prefix) -> Place | None:
        """Of a single address; None if it has no entry."""
        ...

    def networks(
        self, *, countries: frozenset[str], asns: frozenset[int], inverted: bool
    ) -> dict[int, Keys]:
        """The fewest prefixes that cover exactly those networks, sorted, by family.

        Those in any of `countries` or `asns`; if inverted, those known to be in none of them.
        RuleError for a code that is no country or that no network has.
        """
        ...
