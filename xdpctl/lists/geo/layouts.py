# SPDX-License-Identifier: GPL-2.0-or-later
"""How the records of MMDB files name a country and an AS: MaxMind, DB-IP, IPinfo and their like."""

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
NAMES = frozenset({*_COUNTRIES, *_FLAT_COUNTRIES, *_ASNS, _HOLDER, _CODE})  # save of AS names


@dataclass(frozen=True, slots=True)
class Found:
    """Over a sample of records: what they hold, and the names of all fields."""

    countries: bool
    asns: bool
    fields: tuple[str, ...]


def survey(records: Iterable[Any]) -> Found:
    """Reads no further than it takes to have seen a country and an AS."""
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
    """Nested as {"country": {"iso_code": "DE"}} or flat; "" if it names none."""
    if not isinstance(record, dict):
        return ""
    for name in _COUNTRIES:
        nested = record.get(name)
        if isinstance(nested, dict) and (code := codes.country(nested.get(_CODE))):
            return code
    return next(filter(None, (codes.country(record.get(name)) for name in _FLAT_COUNTRIES)), "")


def asn(record: Any) -> int:
    """A number or "AS64500"; 0 if it names none."""
    return codes.asn(_first(record, _ASNS))


def as_name(record: Any) -> str:
    """The AS's name; "" if it is not there."""
    found = _first(record, _AS_NAMES) if asn(record) else ""
    return found if isinstance(found, str) else ""


def _first(record: Any, names: Iterable[str]) -> Any:
    if not isinstance(record, dict):
        return None
    inner = record.get(_HOLDER)
    for holder in (record, inner if isinstance(inner, dict) else {}):
        for name in names:
            if name in holder:
                return holder[name]
    return None
