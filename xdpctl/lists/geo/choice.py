# SPDX-License-Identifier: GPL-2.0-or-later
"""Selection of networks by country and AS."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.errors import ConfigError, RuleError
from xdpctl.lists.geo.codes import ISO, parse_asn, parse_country
from xdpctl.lists.geo.place import GeoDatabase


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a database as columns: the two letters of a country or b"", an AS or 0."""

    codes: NDArray[Any]  # S2
    asns: NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Choice:
    """Selects networks in any of these countries and ASes or, if inverted, known to be in none."""

    countries: frozenset[str]
    asns: frozenset[int]
    inverted: bool


def choose(
    database: GeoDatabase, countries: frozenset[str], asns: frozenset[int], inverted: bool
) -> Choice:
    """A selection with normalised codes.

    RuleError if nothing is named or a code is not valid. ConfigError if the database has no
    countries or AS numbers.
    """
    if not countries and not asns:
        raise RuleError("no country or AS is named", "country", "name one, for example DE")
    for selection, had, noun in (
        (countries, database.has_countries, "countries"),
        (asns, database.has_asns, "AS numbers"),
    ):
        if selection and not had:
            raise ConfigError(f"{database.description} has no {noun}; add a database that has them")
    codes = frozenset(parse_country(code) for code in countries)
    return Choice(codes, frozenset(parse_asn(str(number)) for number in asns), inverted)


def pick(database: GeoDatabase, choice: Choice, records: Records) -> NDArray[np.bool_]:
    """A mask of the records that are selected; RuleError if a country or AS has none."""
    for code in sorted(choice.countries):
        if not (records.codes == code.encode()).any():
            raise _absent_country(database, code)
    for number in sorted(choice.asns):
        if not (records.asns == number).any():
            raise RuleError(
                f"AS{number} has no network in {database.description}",
                "asn",
                "check the number; a newer database may have it",
            )
    chosen = np.isin(records.codes, np.array(sorted(choice.countries), "S2"))
    chosen |= np.isin(records.asns, np.array(sorted(choice.asns), np.uint32))
    if not choice.inverted:
        return chosen
    known = np.zeros(len(chosen), np.bool_)
    if choice.countries:
        known |= records.codes != b""
    if choice.asns:
        known |= records.asns != 0
    return known & ~chosen


def _absent_country(database: GeoDatabase, code: str) -> RuleError:
    if code in ISO:
        return RuleError(
            f"{code} has no network in {database.description}",
            "country",
            "leave it out, or use another database",
        )
    return RuleError(
        f"{code} is not a country code, and {database.description} does not have it",
        "country",
        "write the two letters of ISO 3166-1, for example DE",
    )
