# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of hosts in sentences."""

import pytest

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.model.naming import Names

_NAMES = Names(
    {
        parse_prefix("198.51.100.7"): "web server",
        parse_prefix("198.51.100.0/24"): "pupils",
        parse_prefix("198.51.0.0/16"): "district",
        parse_prefix("2001:db8::7"): "web server",
    }
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("UDP to 198.51.100.7 port 53", "UDP to web server (198.51.100.7) port 53"),
        ("UDP to 198.51.100.8", "UDP to pupils (198.51.100.8)"),
        ("at 198.51.7.7.", "at district (198.51.7.7)."),
        ("198.51.100.7/32, again", "web server (198.51.100.7/32), again"),
        ("198.51.100.0/24 is full", "pupils (198.51.100.0/24) is full"),
        ("to 2001:db8::7 port 53", "to web server (2001:db8::7) port 53"),
        ("nothing of 203.0.113.7", "nothing of 203.0.113.7"),
        ("198.51.100.0/25 has no name of its own", "198.51.100.0/25 has no name of its own"),
        ("version 1.198.51.100.7 and 198.51.100.777", "version 1.198.51.100.7 and 198.51.100.777"),
        ("at 12:30:00, 5 a::b::c", "at 12:30:00, 5 a::b::c"),
        ("http://198.51.100.7/", "http://198.51.100.7/"),
        ("198.51.100.7:443", "198.51.100.7:443"),
        ("198.51.100.7: full", "web server (198.51.100.7): full"),
        ("2001:db8::7: full", "web server (2001:db8::7): full"),
    ],
)
def test_an_address_in_a_sentence_has_its_name_before_it(text: str, told: str) -> None:
    assert _NAMES.tell(text) == told


def test_other_names_can_be_taken_later() -> None:
    names = Names({parse_prefix("198.51.100.7"): "web server"})
    names.use({parse_prefix("198.51.100.7"): "mail server"})
    assert names.tell("198.51.100.7") == "mail server (198.51.100.7)"


def test_an_address_without_a_name_of_the_operator_may_have_another_one() -> None:
    names = Names({}, lambda _: "www.example")
    assert names.tell("to 198.51.100.7") == "to www.example (198.51.100.7)"
    assert names.of(parse_prefix("198.51.100.0/24")) == ""
