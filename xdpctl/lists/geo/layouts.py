# SPDX-License-Identifier: GPL-2.0-or-later
"""Country and AS in the records of MMDB files from MaxMind, DB-IP, IPinfo and similar vendors."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from xdpctl.lists.geo import codes

_COUNTRIES = ("country", "registered_country")
_FLAT_COUNTRIES = ("country_code", "country")
_ASNS = ("autonomous_system_number", "asn")
_AS_NAMES = ("autonomous_system_organization", "as_name", "name", "organization")
_HOLDER = "traits"  # where GeoIP2 Enterprise and DB-IP's ISP files keep the AS
_CODE = "iso_code"
NAMES = frozenset({*_COUNTRIES, *_FLAT_COUNTRIES, *_ASNS, _HOLDER, _CODE})  # except AS names


@dataclass(frozen=True, slots=True)
class Found:
    """Whether a sample of records has countries and ASes, and the names of all fields."""

    countries: bool
    asns: bool
    fields: tuple[str, ...]


def survey(records: Iterable[Any]) -> Found:
    """Check what records have; reading ends once a country and an AS were found."""
    countries = asns = False
    fields: dict[str, None] = {}
    for record in records:
        countries = countries or bool(country(record))
        asns = asns or bool(asn(record))
        if countries and asns:
            break
        fields.update(dict.fromkeys(record if isinstance(record, dict) else ["(no fields)"]))
    return Found(countries, asns, tuple(fields))


def country(record: Any) -> str:
    """The country of a record, nested as {"country": {"iso_code": "DE"}} or flat; "" if none."""
    if not isinstance(record, dict):
        return ""
    for name in _COUNTRIES:
        nested = record.get(name)
        if isinstance(nested, dict) and (code := codes.country(nested.get(_CODE))):
            return code
    return next(filter(None, (codes.country(record.get(name)) for name in _FLAT_COUNTRIES)), "")


def asn(record: Any) -> int:
    """The AS number of a record, a number or "AS64500"; 0 if it has none."""
    return codes.asn(_first(record, _ASNS))


def as_name(record: Any) -> str:
    """The name of the record's AS; "" if it has none."""
    name = _first(record, _AS_NAMES) if asn(record) else ""
    return name if isinstance(name, str) else ""


def _first(record: Any, names: Iterable[str]) -> Any:
    if not isinstance(record, dict):
        return None
    inner = record.get(_HOLDER)
    for holder in (record, inner if isinstance(inner, dict) else {}):
        for name in names:
            if name in holder:
                return holder[name]
    return None
