# SPDX-License-Identifier: GPL-2.0-or-later
"""Several databases as one: countries are usually in one file and ASes in another."""

from collections.abc import Callable
from dataclasses import dataclass

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, Family, Keys
from xdpctl.lists.geo import set_algebra
from xdpctl.lists.geo.choice import choose
from xdpctl.lists.geo.place import GeoDatabase, Place

_Operation = Callable[[Family, Keys, Keys], Keys]


@dataclass(frozen=True, slots=True)
class Combined:
    """Several databases; countries and ASes each come from the first database that has them."""

    databases: tuple[GeoDatabase, ...]

    @property
    def description(self) -> str:
        """The descriptions of all databases."""
        return " and ".join(database.description for database in self.databases)

    @property
    def built(self) -> float:
        """When the oldest database was built, in Unix seconds."""
        return min(database.built for database in self.databases)

    @property
    def has_countries(self) -> bool:
        """Whether one of them has countries."""
        return any(database.has_countries for database in self.databases)

    @property
    def has_asns(self) -> bool:
        """Whether one of them has AS numbers."""
        return any(database.has_asns for database in self.databases)

    def lookup(self, address: Prefix) -> Place | None:
        """See GeoDatabase. The result has the narrower of the two databases' networks."""
        places = [place for d in self.databases if (place := d.lookup(address))]
        if not places:
            return None
        country_source = next((place for place in places if place.country), places[0])
        as_source = next((place for place in places if place.asn), places[0])
        network = max(country_source.network, as_source.network, key=_length)
        return Place(country_source.country, as_source.asn, as_source.as_name, network)

    def networks(
        self, *, countries: frozenset[str], asns: frozenset[int], inverted: bool
    ) -> dict[int, Keys]:
        """See GeoDatabase. Countries and ASes may come from two databases."""
        choose(self, countries, asns, inverted)
        no_countries: frozenset[str] = frozenset()
        no_asns: frozenset[int] = frozenset()
        country_source = next((d for d in self.databases if d.has_countries), self.databases[0])
        as_source = next((d for d in self.databases if d.has_asns), self.databases[0])
        if country_source is as_source or not asns:
            return country_source.networks(countries=countries, asns=asns, inverted=inverted)
        if not countries:
            return as_source.networks(countries=countries, asns=asns, inverted=inverted)
        theirs = country_source.networks(countries=countries, asns=no_asns, inverted=False)
        owned = as_source.networks(countries=no_countries, asns=asns, inverted=False)
        chosen = _each(set_algebra.union, theirs, owned)
        if not inverted:
            return chosen
        known = _each(
            set_algebra.union,
            country_source.networks(countries=countries, asns=no_asns, inverted=True),
            as_source.networks(countries=no_countries, asns=asns, inverted=True),
        )
        return _each(set_algebra.difference, known, chosen)


def _each(operation: _Operation, left: dict[int, Keys], right: dict[int, Keys]) -> dict[int, Keys]:
    return {n: operation(family, left[n], right[n]) for n, family in FAMILIES.items()}


def _length(network: str) -> int:
    return int(network.partition("/")[2] or 0)
