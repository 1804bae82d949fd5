# SPDX-License-Identifier: GPL-2.0-or-later
"""Country codes and AS numbers, as people write them."""

import pytest

from xdpctl.errors import RuleError
from xdpctl.lists.geo import parse_asn, parse_country
from xdpctl.lists.geo.codes import ISO


def test_countries_are_all_of_iso_3166() -> None:
    assert len(ISO) == 249
    assert all(parse_country(code.lower()) == code for code in ISO)


def test_codes_and_numbers_are_parsed() -> None:
    assert parse_country(" de ") == "DE"
    assert [parse_asn(text) for text in ("AS64500", "as1", "4294967295")] == [64500, 1, 4294967295]
    for text in ("", "AS", "0", "-1", "4294967296", "ASN1", "1.5", "\u0661"):
        with pytest.raises(RuleError, match="not an AS number"):
            parse_asn(text)
