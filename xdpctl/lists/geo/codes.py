# SPDX-License-Identifier: GPL-2.0-or-later
"""Country codes and AS numbers, as users write them and as databases have them."""

import re

from xdpctl.errors import RuleError

ISO = frozenset(
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR "
    "BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ "
    "EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW "
    "GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY "
    "KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV "
    "MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY "
    "QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG "
    "TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM "
    "ZW".split()
)
_MEANT = {"UK": "GB", "EN": "GB", "EL": "GR", "SU": "RU", "YU": "RS", "TP": "TL", "ZR": "CD"}
_SAME = {"UK": "GB", "EL": "GR"}  # reserved in ISO 3166-1 for the same countries
_UNKNOWN = {"XX", "ZZ"}  # codes in some databases for networks of no country
_MAX_ASN = (1 << 32) - 1


def parse_country(text: str, field: str = "country") -> str:
    """A country code in capitals; RuleError if its form is not valid or it is a common mistake.

    Whether the code is in use is not checked.
    """
    code = text.strip().upper()
    if code in _MEANT:
        raise RuleError(f"{text!r} is not a country code", field, f"write {_MEANT[code]}")
    if not re.fullmatch("[A-Z][A-Z0-9]", code) or code in _UNKNOWN:
        raise RuleError(
            f"{text[:80]!r} is not a country code",
            field,
            "write the two letters of ISO 3166-1, for example DE",
        )
    return code


def parse_asn(text: str, field: str = "asn") -> int:
    """The number of an AS written as `AS64500` or `64500`; RuleError names `field`."""
    number = asn(text)
    if not number:
        raise RuleError(
            f"{text[:80]!r} is not an AS number",
            field,
            f"write AS64500 or 64500: 1 to {_MAX_ASN}",
        )
    return number


def country(value: object) -> str:
    """The country code in a database's value; "" if it has none."""
    if not isinstance(value, str) or not re.fullmatch("[A-Za-z][A-Za-z0-9]", value):
        return ""
    code = value.upper()
    return "" if code in _UNKNOWN else _SAME.get(code, code)


def asn(value: object) -> int:
    """The AS number in a database's value; 0 if it has none."""
    if isinstance(value, str):
        digits = re.fullmatch(r"(?:AS)?([0-9]{1,10})", value.strip(), re.IGNORECASE)
        value = int(digits[1]) if digits else 0
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return value if 0 < value <= _MAX_ASN else 0
