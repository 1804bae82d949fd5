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
    """Of each kind of fact, the first database that has it answers."""

    databases: tuple[GeoDatabase, ...]

    @property
    def description(self) -> str:
        """What each of them says of itself."""
        return " and ".join(database.description for database in self.databases)

    @property
    def built(self) -> float:
        """When the oldest was made."""
        return min(database.built for database in self.databases)

    @property
    def has_countries(self) -> bool:
        """Whether one of them knows countries."""
        return any(database.has_countries for database in self.databases)

    @property
    def has_asns(self) -> bool:
        """Whether one of them knows AS numbers."""
        return any(database.has_asns for database in self.databases)

    def lookup(self, address: Prefix) -> Place | None:
        """The narrower of the networks that answered is named: all that is said holds in it."""
        said = [place for d in self.databases if (place := d.lookup(address))]
        if not said:
            return None
        where = next((place for place in said if place.country), said[0])
        whose = next((place for place in said if place.asn), said[0])
        network = max(where.network, whose.network, key=_length)
        return Place(where.country, whose.asn, whose.as_name, network)

    def networks(
        self, *, countries: frozenset[str], asns: frozenset[int], inverted: bool
    ) -> dict[int, Keys]:
        """See GeoDatabase. Countries and ASes may come from two databases."""
        choose(self, countries, asns, inverted)
        nobody: frozenset[str] = frozenset()
        nothing: frozenset[int] = frozenset()
        where = next((d for d in self.databases if d.has_countries), self.databases[0])
        whose = next((d for d in self.databases if d.has_asns), self.databases[0])
        if where is whose or not asns:
            return where.networks(countries=countries, asns=asns, inverted=inverted)
        if not countries:
            return whose.networks(countries=countries, asns=asns, inverted=inverted)
        theirs = where.networks(countries=countries, asns=nothing, inverted=False)
        owned = whose.networks(countries=nobody, asns=asns, inverted=False)
        chosen = _each(set_algebra.union, theirs, owned)
        if not inverted:
            return chosen
        known = _each(
            set_algebra.union,
            where.networks(countries=countries, asns=nothing, inverted=True),
            whose.networks(countries=nobody, asns=asns, inverted=True),
        )
        return _each(set_algebra.difference, known, chosen)


def _each(operation: _Operation, one: dict[int, Keys], other: dict[int, Keys]) -> dict[int, Keys]:
    return {n: operation(family, one[n], other[n]) for n, family in FAMILIES.items()}


def _length(network: str) -> int:
    return int(network.partition("/")[2] or 0)
