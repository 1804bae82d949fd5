# SPDX-License-Identifier: GPL-2.0-or-later
"""From a list to a set's entries: widening, merging, and what a set must not be widened over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.support.preparing import feed, made, prefixes, state
from tests.support.spaces import entries, prefixes_of
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.control.state.state import State
from xdpctl.errors import RuleError
from xdpctl.lists.prepare import prepare
from xdpctl.model.effect import Action
from xdpctl.model.match.match import Match
from xdpctl.model.rule import Rule
from xdpctl.model.source_set import Options, SourceSet


def test_the_report_counts_widened_addresses_and_merged_entries() -> None:
    texts = ("45.0.0.1", "45.0.0.2", "45.0.1.0/24", "45.0.9.9", "2600::1")
    found, counts = made(texts, Options(widen_ipv4=24))
    assert found == ["45.0.0.0/23", "45.0.9.0/24", "2600::1/128"]
    assert (counts["saved"], counts["extra_addresses"]) == (2, 254 + 255)
    found, counts = made(texts, Options(aggregate=True, widen_ipv6=64))
    assert found[-1] == "2600::/64"
    assert counts["extra_addresses"] == 2**64 - 1


def test_exact_merging_is_exact_and_respects_other_sets() -> None:
    halves = ("45.0.0.0/25", "45.0.0.128/25")
    assert made(halves, Options(aggregate=True)) == (
        ["45.0.0.0/24"],
        {**made(halves, Options())[1], "saved": 1, "extra_addresses": 0},
    )
    for held in (state("45.0.0.0/24"), state(), state()):
        if not held.protection.why:
            held.learn(
                parse_prefix("45.0.0.0/24"), Rule(Match(parse_prefix("45.0.0.0/24")), Action.DROP)
            )
        assert made(halves, Options(aggregate=True), held)[0] == list(halves)
    held = state()
    held.sets["x"], held.entries["x"] = SourceSet(name="x", slot=65), entries("45.0.0.0/24")
    assert made(halves, Options(aggregate=True), held)[0] == ["45.0.0.0/24"], "it is itself"
    held.sets["y"], held.entries["y"] = SourceSet(name="y", slot=64), entries("45.0.0.0/24")
    assert made(halves, Options(aggregate=True), held)[0] == list(halves)


def accepting(name: str, *texts: str) -> State:
    held = state()
    held.sets[name] = SourceSet(name=name, slot=2, action=Action.ACCEPT)
    held.entries[name] = entries(*texts)
    return held


@pytest.mark.parametrize("held", [state("45.0.0.9"), accepting("ours", "45.0.0.9")])
@pytest.mark.parametrize("options", [Options(widen_ipv4=24), Options(at_most=1)])
def test_nothing_is_widened_over_what_is_protected_or_accepted(
    held: State, options: Options
) -> None:
    found, _ = made(("45.0.0.1", "45.0.0.17"), options, held)
    assert not any(parse_prefix(t).covers(parse_prefix("45.0.0.9")) for t in found)


def dropping(*texts: str) -> State:
    held = state()
    for text in texts:
        held.learn(parse_prefix(text), Rule(Match(parse_prefix(text)), Action.DROP))
    return held


@pytest.mark.parametrize(
    ("texts", "options"),
    [
        (("45.0.0.0/25", "45.0.0.128/25"), Options(at_most=1)),
        (("45.0.0.0/25", "45.0.0.128/25"), Options(widen_ipv4=24)),
        (("45.0.0.7/32", "45.0.1.7/32"), Options(widen_ipv4=23)),
        (("45.0.0.7/32",), Options(widen_ipv4=25)),
    ],
)
@pytest.mark.parametrize("by_set", [False, True])
def test_an_accepting_set_is_not_widened_over_drops(
    texts: tuple[str, ...], options: Options, by_set: bool
) -> None:
    held = dropping("45.0.0.0/24")
    if by_set:
        held = state()
        held.sets["y"] = SourceSet(name="y", slot=65)
        held.entries["y"] = entries("45.0.0.0/24")
    assert made(texts, options, held, "accept")[0] == list(texts)


small = prefixes.map(lambda prefix: prefix.widened(max(prefix.length, 24)))


def verdict(held: State, own: Action, listed: list[Prefix], address: Prefix) -> Action | None:
    """Of the most specific entry; of a rule, of sets that accept and that drop on one prefix."""
    for length in range(32, -1, -1):
        prefix = address.widened(length)
        if prefix in held.rules:
            return held.rules[prefix].action
        on = {own} if prefix in listed else set()
        on |= {held.sets[n].action for n, e in held.entries.items() if prefix in prefixes_of(e)}
        if on:
            return Action.ACCEPT if Action.ACCEPT in on else Action.DROP
    return None


@given(
    st.sets(small, min_size=1, max_size=5),
    st.dictionaries(small, st.sampled_from([Action.DROP, Action.ACCEPT]), max_size=3),
    st.dictionaries(st.sampled_from([Action.DROP, Action.ACCEPT]), st.sets(small, max_size=3)),
    st.sampled_from([Action.DROP, Action.ACCEPT]),
    st.sampled_from([Options(widen_ipv4=26), Options(at_most=1), Options(at_most=2)]),
    st.booleans(),
)
def test_lossy_aggregation_changes_no_verdict_of_a_listed_address(
    own: set[Prefix],
    rules: dict[Prefix, Action],
    sets: dict[Action, set[Prefix]],
    action: Action,
    options: Options,
    aggregate: bool,
) -> None:
    held = state()
    for source, act in rules.items():
        held.learn(source, Rule(Match(source), act))
    for slot, (act, listed) in enumerate(sets.items(), 2):
        held.sets[act] = SourceSet(name=act, slot=slot, action=act)
        held.entries[act] = entries(*map(str, listed))
    options = structs.replace(options, aggregate=aggregate, allow_private=True)
    found, _ = prepare(held, "x", feed(*map(str, own)), action, options)
    for number in range(256):
        address = Prefix((0x0A000000 + number).to_bytes(4), 32)
        before = verdict(held, action, list(own), address)
        after = verdict(held, action, prefixes_of(found), address)
        if any(prefix.covers(address) for prefix in own):
            assert after is before
        elif action is Action.ACCEPT:
            assert before is not Action.DROP or after is Action.DROP, "nothing dropped is opened"


def test_a_set_that_is_being_removed_does_not_restrict_widening() -> None:
    held = accepting("going", "45.0.0.9")
    held.entries.clear()
    assert made(("45.0.0.1",), Options(widen_ipv4=24), held)[0] == ["45.0.0.0/24"]


def test_without_an_action_the_list_is_prepared_for_what_the_set_does() -> None:
    held = accepting("x", "45.0.0.1")
    for standing, found in ((held, ["10.0.0.1/32"]), (state(), [])):
        assert prefixes_of(prepare(standing, "x", feed("10.0.0.1"), None, Options())[0]) == list(
            map(parse_prefix, found)
        )


def test_an_accepting_set_is_widened_the_same_way_again() -> None:
    texts, options = ("45.0.0.1", "45.0.9.9"), Options(widen_ipv4=24)
    first, _ = made(texts, options, action="accept")
    assert first == ["45.0.0.0/24", "45.0.9.0/24"]
    assert made(texts, options, accepting("x", *first), "accept")[0] == first


@pytest.mark.parametrize(
    ("texts", "options"),
    [
        (("192.167.255.1",), Options(widen_ipv4=8)),
        (("192.167.255.1", "192.169.0.1"), Options(at_most=1)),
    ],
)
def test_nothing_is_widened_over_private_networks(texts: tuple[str, ...], options: Options) -> None:
    found, _ = made(texts, options)
    private = parse_prefix("192.168.0.0/16")
    assert not any(parse_prefix(text).covers(private) for text in found)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (Options(widen_ipv4=7), "widen_ipv4"),
        (Options(widen_ipv4=33), "widen_ipv4"),
        (Options(widen_ipv6=15), "widen_ipv6"),
        (Options(widen_ipv6=129), "widen_ipv6"),
        (Options(widen_ipv4=-1), "widen_ipv4"),
        (Options(at_most=1), "at_most"),
    ],
)
def test_a_widening_that_adds_too_much_is_refused(options: Options, field: str) -> None:
    with pytest.raises(RuleError) as caught:
        made(("44.0.0.1", "45.255.0.1"), options)
    assert caught.value.field == field
    assert caught.value.fix
    assert str(caught.value).startswith((f"{field} must be ", "1 entry would need a /7"))
