# SPDX-License-Identifier: GPL-2.0-or-later
"""Matches that name a module."""

import pytest

from xdpctl.abi.sizes import MODULE_SHIFT, SLOT_MASK
from xdpctl.control.state.counts import MODULE_CROWD, check_crowd
from xdpctl.datapath.matches.compile import compile_tables
from xdpctl.errors import CapacityError, RuleError
from xdpctl.model.effect import Action
from xdpctl.model.match.match import build
from xdpctl.model.match.overlap import overlap
from xdpctl.model.match.precedence import precedence
from xdpctl.model.match.text import parse
from xdpctl.model.match.words import in_words
from xdpctl.model.rule import Rule

MATCH = "dst 198.51.100.7 udp dst-port 7777 module game"


def test_a_module_is_named_in_text_and_json() -> None:
    match = parse(MATCH)
    assert str(match) == "dst 198.51.100.7 proto udp dst-port 7777 module game"
    assert build(match.as_json()) == match
    assert match.headers == parse(MATCH.removesuffix(" module game"))
    assert match.beyond_headers
    assert not parse("module game").everything
    assert "what the module game drops" in in_words(match)


@pytest.mark.parametrize("name", ["", "a.b", "a/b", "-a", "4a", "a" * 33, "a b"])
def test_a_name_that_is_no_file_is_refused(name: str) -> None:
    with pytest.raises(RuleError, match="module"):
        build({"protocol": "udp", "module": name})


def test_two_modules_may_take_the_same_packet_and_are_ordered_by_name() -> None:
    one, other = parse(MATCH), parse(MATCH.replace("game", "other"))
    assert overlap(one, other)
    assert precedence(one) < precedence(other)


def test_a_module_that_is_not_there_has_a_number_that_none_has() -> None:
    tables = compile_tables([(parse(MATCH), 9), (parse("module b"), 10)], {"b": 63})
    first, second = tables.generation["slots"][:2].tolist()
    assert (first & SLOT_MASK, first >> MODULE_SHIFT) == (9, 127)
    assert (second & SLOT_MASK, second >> MODULE_SHIFT) == (10, 64)


def test_a_packet_meets_a_limited_number_of_modules() -> None:
    rules = [
        Rule(match=parse(f"ttl 0-{n + 1} module game"), action=Action.DROP)
        for n in range(MODULE_CROWD)
    ]
    check_crowd(rules[-1], rules[:-1])
    one_more = Rule(match=parse("ttl 0-200 module game"), action=Action.DROP)
    with pytest.raises(CapacityError, match="modules"):
        check_crowd(one_more, rules)


def test_a_module_of_udp_can_be_challenged() -> None:
    Rule(match=parse(MATCH), action=Action.CHALLENGE)
