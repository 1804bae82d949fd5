# SPDX-License-Identifier: GPL-2.0-or-later
"""The command for sets of countries and networks."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xdpctl.base.net.prefix import Prefix
from xdpctl.cli import options
from xdpctl.cli.formats import Format
from xdpctl.cli.sets.put import ActionOption, DryRun, Force, Monitor, Name, Reason, choose, put_list
from xdpctl.client import Client, path
from xdpctl.errors import ConfigError, Refused
from xdpctl.model.names import REASON_MAX

if TYPE_CHECKING:
    from xdpctl.lists.geo import GeoDatabase

app = typer.Typer()
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


@app.command()
def geo(
    context: typer.Context,
    name: Name,
    country: Countries = None,
    asn: Asns = None,
    inverted: Except = False,
    database: Databases = None,
    action: ActionOption = None,
    monitor: Monitor = None,
    reason: Reason = None,
    force: Force = False,
    dry_run: DryRun = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Create or replace a set of countries or networks, from a database on this machine.

    An existing set keeps its action, mode and reason where they are not given.

    Example: xdpctl geo abroad --country US --except --action drop --monitor
    """
    if not country and not asn:
        raise ConfigError("give at least one --country US or --asn AS64500")
    lines, description = _networks(country or [], asn or [], inverted, database)
    if reason is None and _describes_itself(options.client(context), name, description):
        places = " ".join([*(country or ()), *(asn or ())]).upper()
        reason = f"{'all but ' if inverted else ''}{places}, {description}"[:REASON_MAX]
    choices = choose(action, monitor, reason, force, dry_run)
    put_list(context, name, lines, {**choices, "format": "plain"}, form)


def _describes_itself(client: Client, name: str, description: str) -> bool:
    """Whether the reason of a set is empty or generated, so that it may be overwritten."""
    try:
        reason: str = client.call("GET", path("sets", name))["reason"]
    except Refused as refused:
        if refused.problem.get("status") == 404:
            return True
        raise
    return not reason or reason.endswith(f", {description}")


def _networks(
    countries: list[str], asns: list[str], inverted: bool, databases: list[Path] | None
) -> tuple[bytes, str]:
    """The prefixes, one per line, and the description of the database."""
    database = opened(databases)
    return networks(database, countries, asns, inverted), database.description


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
