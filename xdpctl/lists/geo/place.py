# SPDX-License-Identifier: GPL-2.0-or-later
"""The interface of geo databases, and the result of a lookup."""

from dataclasses import dataclass
from typing import Protocol

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import Keys
from xdpctl.errors import ConfigError


class LayoutError(ConfigError):
    """A valid database without countries or ASes; the message names its fields."""


@dataclass(frozen=True, slots=True)
class Place:
    """The country and AS of an address; "" and 0 mean unknown."""

    country: str  # ISO 3166-1 alpha-2, or a code of the database such as EU
    asn: int
    as_name: str
    network: str  # the prefix in the database that covers the address, or ""


class GeoDatabase(Protocol):
    """Countries, ASes, or both, of IPv4 and IPv6 networks."""

    @property
    def description(self) -> str:
        """A description of the database, for users."""
        ...

    @property
    def built(self) -> float:
        """When the database was built, in Unix seconds."""
        ...

    @property
    def has_countries(self) -> bool:
        """Whether the database has countries."""
        ...

    @property
    def has_asns(self) -> bool:
        """Whether the database has AS numbers."""
        ...

    def lookup(self, address: Prefix) -> Place | None:
        """The country and AS of a single address; None if it has no entry."""
        ...

    def networks(
        self, *, countries: frozenset[str], asns: frozenset[int], inverted: bool
    ) -> dict[int, Keys]:
        """The keys of the fewest prefixes that cover exactly the selected networks, by family.

        Selected are the networks in any of `countries` or `asns`; if inverted, those known to be in
        none of them. The keys are sorted. RuleError for a code that is not valid, or that no
        network has.
        """
        ...
