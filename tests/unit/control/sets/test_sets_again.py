# SPDX-License-Identifier: GPL-2.0-or-later
"""Putting a set again: what stays unchanged, what needs confirmation, and suspicious lists."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes import FakeClock, FakeDatapath, controller
from tests.support.preparing import feed
from tests.support.setcalls import hosts, listed, put, refused, remove, texts, wanted
from xdpctl.abi.constants import Constants
from xdpctl.control.controller import Controller
from xdpctl.control.operations.sets import Changed, SetRequest
from xdpctl.errors import CapacityError, ConflictError, RuleError, StaleError
from xdpctl.lists.prepare import prepare
from xdpctl.model.effect import Action, Spare
from xdpctl.model.source_set import FeedSource, Options


@pytest.fixture
def control(tmp_path: Path, datapath: FakeDatapath, clock: FakeClock) -> Iterator[Controller]:
    with controller(tmp_path, datapath, clock) as running:
        yield running


def prepared(
    control: Controller, *lines: str, options: Options | None = None, force: bool = False
) -> Changed:
    """Put the set `bad` with a list, as the API does."""
    given = options or Options()
    found, counts = prepare(control.state, "bad", feed(*lines), None, given)
    return put(
        control,
        SetRequest(name="bad", entries=found, options=given, force=force, counts=counts),
    )


def test_a_list_that_shrinks_by_more_than_half_is_refused(
    control: Controller,
) -> None:
    put(control, wanted("bad", *hosts(10)))
    says = "has 4 entries, the current one 10"
    error = refused(control, ConflictError, says, lambda: put(control, wanted("bad", *hosts(4))))
    assert isinstance(error, RuleError)
    assert "force" in error.fix
    put(control, wanted("bad", *hosts(5)))
    put(control, wanted("bad", *hosts(1), force=True))
    assert texts(control, "bad") == ["45.0.0.0/32"]


def test_an_empty_list_is_accepted_only_with_force(
    control: Controller, datapath: FakeDatapath
) -> None:
    error = refused(
        control, ConflictError, "^the new list has 0 entries$", lambda: put(control, wanted("new"))
    )
    assert isinstance(error, RuleError)
    assert "force" in error.fix
    put(control, wanted("bad", *hosts(1)))
    says = "has 0 entries, the current one 1; this looks like a broken feed"
    refused(control, ConflictError, says, lambda: put(control, wanted("bad")))
    slot = put(control, wanted("bad", force=True)).set.slot
    assert listed(datapath, slot) == set()
    assert texts(control, "bad") == []
    put(control, wanted("bad", *hosts(3)))
    assert len(listed(datapath, slot)) == 3


def test_a_list_of_which_nothing_remains_is_refused_with_what_was_left_out(
    control: Controller, datapath: FakeDatapath
) -> None:
    says = r"^no entry of the list is left; left out: 1 too wide \(wider than /8, IPv6 /16\)$"
    error = refused(control, ConflictError, says, lambda: prepared(control, "0.0.0.0/0"))
    assert isinstance(error, RuleError)
    assert "xdpctl block" in error.fix
    refused(control, ConflictError, says, lambda: prepared(control, "0.0.0.0/0", force=True))
    prepared(control, *hosts(2))
    lines = ("0.0.0.0/0", "10.0.0.0/8", "192.168.0.1")
    says = r"left out: 1 too wide .*, 2 private or special"
    error = refused(control, ConflictError, says, lambda: prepared(control, *lines, force=True))
    assert isinstance(error, RuleError)
    assert "--allow-private" in error.fix
    allowed = Options(allow_private=True)
    assert prepared(control, *lines, options=allowed).set.report["entries"] == 2
    prepared(control, *hosts(9), options=allowed)
    says = r"has 1 entry \(left out: 9 private or special\), the current one 9"
    local = hosts(9, net=10)
    refused(control, ConflictError, says, lambda: prepared(control, *local, "45.0.0.1"))


def test_the_same_list_merged_is_not_refused_as_shrunk(control: Controller) -> None:
    prepared(control, *hosts(20))
    for options in (Options(widen_ipv4=16), Options(aggregate=True), Options()):
        made = prepared(control, *hosts(20), options=options)
        assert made.set.options == options
    prepared(control, *hosts(20), options=Options(widen_ipv4=16))
    says = "has 9 entries, the current one 20"
    refused(control, ConflictError, says, lambda: prepared(control, *hosts(9)))
    prepared(control, *hosts(10))


def test_fields_that_are_not_given_stay_as_they_are(control: Controller) -> None:
    nothing = {"action": None, "mode": None}
    made = put(control, wanted("new", *hosts(3), **nothing))
    assert (made.set.action, made.set.mode, made.set.reason) == ("drop", "enforce", "")
    given = wanted("home", *hosts(3), action="accept", mode="monitor", reason="why")
    put(control, given)
    made = put(control, wanted("home", *hosts(3, 1), **nothing))
    assert (made.set.action, made.set.mode, made.set.reason) == ("accept", "monitor", "why")
    assert made.warnings == []
    put(control, wanted("home", *hosts(3), **nothing, reason=""))
    assert control.state.sets["home"].reason == ""


def test_a_changed_action_needs_force(control: Controller) -> None:
    put(control, wanted("home", *hosts(3), action="accept"))
    says = "home exists and accepts; it would drop"
    error = refused(control, ConflictError, says, lambda: put(control, wanted("home", *hosts(3))))
    assert isinstance(error, RuleError)
    assert (error.field, "force" in error.fix) == ("action", True)
    made = put(control, wanted("home", *hosts(3), force=True))
    assert (made.set.action, made.warnings) == ("drop", ["was accept"])


def test_changes_beside_the_list_are_reported(control: Controller) -> None:
    source = FeedSource(url="https://feeds.test/")
    made = put(control, wanted("bad", *hosts(3), mode="monitor", feed=source))
    assert made.set.spare is Spare.KNOWN, "nobody looks at what it lists next"
    made = put(control, wanted("bad", *hosts(3), mode="enforce"))
    assert made.warnings == ["was monitor", "no longer refreshed from https://feeds.test/"]
    assert put(control, wanted("bad", *hosts(3), feed=source)).warnings == []


def test_a_list_prepared_for_another_action_is_refused(control: Controller) -> None:
    found, counts = prepare(control.state, "bad", feed("10.0.0.1"), Action.ACCEPT, Options())
    ask = SetRequest(name="bad", entries=found, counts=counts)  # made by then, and removed again
    refused(control, StaleError, "while its list was read", lambda: put(control, ask))


@pytest.mark.parametrize(("first", "second"), [("accept", "drop"), ("drop", "accept")])
def test_accepting_sets_come_before_dropping_ones(
    control: Controller, first: str, second: str
) -> None:
    for number in range(Constants.SETS_MAX):
        action = first if number < Constants.SETS_MAX - 1 else second
        put(control, wanted(f"s{number}", f"45.0.0.{number}", action=action))
    remove(control, "s0")
    says = (
        f"no slot left for a set that {second}s on its side of the set s62, which {first}s; remove"
    )
    new = wanted("x", "45.0.0.0", action=second)
    refused(control, CapacityError, says, lambda: put(control, new))
    remove(control, "s62")
    put(control, new)
    slots = {held.slot: held.action for held in control.state.sets.values()}
    assert [str(slots[slot]) for slot in sorted(slots)][-1] == "drop"
    accepting = [slot for slot, action in slots.items() if action is Action.ACCEPT]
    assert max(accepting) < min(slots.keys() - accepting)
