# SPDX-License-Identifier: GPL-2.0-or-later
"""The lists of countries and networks, from databases on this machine."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from xdpctl.base.net.prefix import Prefix
from xdpctl.client import Client, path
from xdpctl.errors import Refused
from xdpctl.model.names import REASON_MAX

if TYPE_CHECKING:
    from xdpctl.lists.geo import GeoDatabase

_PAGE = 20_000
Countries = Annotated[
    list[str] | None, typer.Option("--country", help="ISO 3166 code; may be given several times.")
]
Asns = Annotated[
    list[str] | None, typer.Option("--asn", help="AS number; may be given several times.")
]
Except = Annotated[bool, typer.Option("--except", help="All known networks except these.")]
Databases = Annotated[
    list[Path] | None,
    typer.Option("--database", help="MMDB or libloc file; default: the installed ones."),
]


class Chosen(NamedTuple):
    """The countries and networks of a set; `inverted`: all known ones except these."""

    countries: list[str] | None
    asns: list[str] | None
    inverted: bool


def listed(
    client: Client, name: str, chosen: Chosen, databases: list[Path] | None
) -> tuple[bytes, str]:
    """The prefixes of a set, one per line, and a reason for it; empty if a person gave it one."""
    countries, asns = chosen.countries or [], chosen.asns or []
    database = opened(databases)
    lines = networks(database, countries, asns, chosen.inverted)
    if not _describes_itself(client, name, database.description):
        return lines, ""
    places = " ".join([*countries, *asns]).upper()
    reason = f"{'all but ' if chosen.inverted else ''}{places}, {database.description}"
    return lines, reason[:REASON_MAX]


def _describes_itself(client: Client, name: str, description: str) -> bool:
    """Whether the reason of a set is empty or generated, so that it may be overwritten."""
    try:
        reason: str = client.call("GET", path("sets", name))["reason"]
    except Refused as refused:
        if refused.problem.get("status") == 404:
            return True
        raise
    return not reason or reason.endswith(f", {description}")


def opened(databases: list[Path] | None) -> "GeoDatabase":
    """The given databases, or the installed databases if none is given."""
    from xdpctl.lists import geo

    return geo.open_databases(databases) if databases else geo.open_installed()


def networks(
    database: "GeoDatabase", countries: Iterable[str], asns: Iterable[str], inverted: bool = False
) -> bytes:
    """Prefixes, one per line; RuleError for a country or AS that is not in the database."""
    from xdpctl.base.net.prefix_arrays import FAMILIES
    from xdpctl.lists import geo
    from xdpctl.model.screening import WIDEST

    keys = database.networks(
        countries=frozenset(map(geo.parse_country, countries)),
        asns=frozenset(map(geo.parse_asn, asns)),
        inverted=inverted,
    )
    lines = (
        f"{prefix}\n"
        for number, family in FAMILIES.items()
        for first in range(0, len(keys[number]), _PAGE)
        for merged in family.prefixes(keys[number][first : first + _PAGE])
        for prefix in _pieces(merged, WIDEST[number])
    )
    return "".join(lines).encode()


def _pieces(prefix: Prefix, widest: int) -> Iterator[Prefix]:
    """Split a prefix that is too wide for a list: the database merges neighbouring /8s to a /7."""
    bits = len(prefix.address) * 8
    first = int.from_bytes(prefix.address, "big")
    length = max(prefix.length, widest)
    for number in range(1 << (length - prefix.length)):
        address = first + (number << (bits - length))
        yield Prefix(address.to_bytes(bits // 8, "big"), length)
