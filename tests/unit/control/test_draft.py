# SPDX-License-Identifier: GPL-2.0-or-later
"""A draft: it reads through to the current state, and can be undone."""

import pytest

from tests.support.fakes import FakeClock, protect
from tests.support.spaces import entries, prefixes_of
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.state.draft import Draft
from xdpctl.control.state.state import State
from xdpctl.control.store.records import ENTRIES, SETS, decode_set
from xdpctl.datapath.image import Image
from xdpctl.errors import CapacityError
from xdpctl.model.effect import Action, Automatic
from xdpctl.model.match.match import Match
from xdpctl.model.protection import CONFIGURED
from xdpctl.model.rate import Rate
from xdpctl.model.rule import Rule
from xdpctl.model.source_set import NOTHING, SourceSet, decode_entries

NINE, TEN = parse_prefix("45.0.0.9"), parse_prefix("46.0.0.9")
OLD, NEW = SourceSet(name="old", slot=65), SourceSet(name="new", slot=64)


@pytest.fixture
def state() -> State:
    made = State(Image(16), {}, {4: 10, 6: 4}, protect({"45.0.9.0/24": CONFIGURED}))
    made.sets["old"], made.entries["old"] = OLD, entries("45.0.0.1", "45.0.0.2", "2600::1")
    made.learn(NINE, Rule(Match(NINE), Action.DROP))
    return made


@pytest.fixture
def draft(state: State) -> Draft:
    return Draft(state, FakeClock().read())


def texts(draft: Draft, name: str) -> list[str]:
    return [str(prefix) for prefix in prefixes_of(draft.entries_of(name))]


def test_a_draft_reads_through_to_the_state(draft: Draft) -> None:
    assert draft.empty
    assert draft.sets.get("old") == OLD
    assert draft.all_sets() == [OLD]
    assert texts(draft, "old") == ["45.0.0.1/32", "45.0.0.2/32", "2600::1/128"]
    assert draft.sets.get("none") is None
    assert draft.entries_of("none") == NOTHING


def test_staged_changes_hide_the_state_without_changing_it(draft: Draft, state: State) -> None:
    draft.put_set(NEW, entries("46.0.0.1"))
    draft.put_set(OLD.replace(reason="x"))
    assert not draft.empty
    assert [held.name for held in draft.all_sets()] == ["new", "old"]
    assert texts(draft, "new") == ["46.0.0.1/32"]
    assert len(texts(draft, "old")) == 3, "only the set changed"
    draft.remove_set("old")
    assert draft.sets.get("old") is None
    assert texts(draft, "old") == []
    assert state.sets == {"old": OLD}


def test_a_branch_changes_nothing_until_it_is_merged(draft: Draft) -> None:
    draft.put_set(NEW, entries("46.0.0.1"))
    other = draft.branch()
    other.remove_set("new")
    other.put_set(OLD, entries("47.0.0.1"))
    assert [held.name for held in draft.all_sets()] == ["new", "old"]
    assert len(texts(draft, "old")) == 3
    assert [held.name for held in other.all_sets()] == ["old"]
    other.merge()
    assert [held.name for held in draft.all_sets()] == ["old"]
    assert texts(draft, "old") == ["47.0.0.1/32"]
    with pytest.raises(CapacityError, match="has 3"):
        draft.counts.check_entries(4, 8)


def test_free_slots_are_counted_with_the_staged_changes(draft: Draft) -> None:
    draft.counts.check_entries(4, 6)
    with pytest.raises(
        CapacityError, match=r"room for 10 IPv4 entries and has 4; 7 more.*xdpctl down"
    ):
        draft.counts.check_entries(4, 7)
    draft.put_set(NEW, entries("46.0.0.1", "46.0.0.2"))
    with pytest.raises(CapacityError, match="has 6; 5 more"):
        draft.counts.check_entries(4, 5)
    draft.put_set(NEW, entries("46.0.0.1"))
    draft.counts.check_entries(4, 5)
    draft.remove_set("old")
    draft.counts.check_entries(4, 7)
    draft.counts.check_entries(6, 4)
    with pytest.raises(CapacityError, match="IPv6"):
        draft.counts.check_entries(6, 5)
    draft.put(Rule(Match(parse_prefix("47.0.0.1")), Action.DROP))
    with pytest.raises(CapacityError):
        draft.counts.check_entries(4, 7)
    draft.counts.check_entries(4, 0)
    draft.counts.check_entries(4, -100)


def test_the_store_gets_the_record_and_the_entries_of_a_set(draft: Draft) -> None:
    draft.put_set(NEW, entries("46.0.0.1"))
    draft.put_set(OLD.replace(reason="x"))
    changes = draft.changes()
    assert set(changes) == {SETS + "new", ENTRIES + "new", SETS + "old"}
    assert decode_set(changes[SETS + "old"] or b"").reason == "x"
    assert prefixes_of(decode_entries(changes[ENTRIES + "new"] or b"")) == [
        parse_prefix("46.0.0.1")
    ]
    draft.remove_set("old")
    changes = draft.changes()
    assert changes[SETS + "old"] is None
    assert changes[ENTRIES + "old"] is None


def test_undo_steps_hold_the_previous_values(draft: Draft, state: State) -> None:
    draft.put_set(NEW, entries("46.0.0.1"))
    draft.put_set(OLD.replace(reason="x"), entries("47.0.0.1"))
    back = draft.inverse()
    assert back.sets.staged == {"new": None, "old": OLD}
    assert back.entries.get("new") is None
    assert back.entries.get("old") is state.entries["old"]
    assert back.changes()[SETS + "new"] is None


def test_the_changes_of_a_branch_count_where_it_is_merged(draft: Draft) -> None:
    rule = Rule(Match(TEN), Action.DROP)
    branch = draft.branch()
    branch.put(rule)
    branch.settings["automatic"] = Automatic.OFF
    branch.note("root", "rule.add", rule.id)
    assert (draft.standing(TEN), draft.counts.of_origin(rule.origin)) == (None, 1)
    assert draft.empty
    assert branch.counts.room == draft.counts.room - 1
    branch.merge()
    assert draft.standing(TEN) == rule
    assert draft.counts.of_origin(rule.origin) == 2
    assert draft.counts.room == branch.counts.room
    assert draft.settings.get("automatic") is Automatic.OFF
    assert [event.action for event in draft.events] == ["rule.add"]
    assert draft.counts.lengths(TEN) == {32}


def test_a_rule_that_is_put_again_after_its_removal_takes_no_second_place(draft: Draft) -> None:
    rule = Rule(Match(TEN), Action.DROP)
    draft.put(rule)
    branch = draft.branch()
    branch.remove(rule)
    assert branch.standing(TEN) is None
    branch.put(rule)
    assert branch.counts.room == draft.counts.room
    assert [each.source for each in branch.all_rules()] == [NINE, TEN]


def test_a_branch_of_a_branch_reads_through_both(draft: Draft) -> None:
    draft.put_set(NEW, entries("46.0.0.1"))
    middle = draft.branch()
    middle.remove_set("old")
    top = middle.branch()
    top.put_set(NEW.replace(reason="x"))
    assert [(held.name, held.reason) for held in top.all_sets()] == [("new", "x")]
    assert dict(top.sets.changes()) == {"new": NEW.replace(reason="x"), "old": None}
    assert top.sets.stood("old") == OLD
    assert top.sets.stood("new") is None


def test_free_slots_stay_right_when_rules_move_between_tables(draft: Draft, state: State) -> None:
    room, drop = draft.counts.room, Rule(Match(TEN), Action.DROP)
    limit = Rule(Match(TEN), Action.LIMIT, limit=Rate(pps=5), slot=3)
    for rule, taken in ((limit, 0), (drop, 1), (limit, 0), (drop, 1)):
        draft.put(rule)
        assert draft.counts.room == room - taken
        assert list(draft.matches()) == ([] if taken else [rule.id])
    draft.remove(drop)
    assert draft.counts.room == room
    standing = draft.standing(NINE)
    assert standing
    draft.put(limit.replace(match=Match(NINE)))
    assert draft.counts.room == room, "the state has its place until the change is there"
    draft.put(standing)
    assert draft.counts.room == room
