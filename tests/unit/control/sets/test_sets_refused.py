# SPDX-License-Identifier: GPL-2.0-or-later
"""A refused request about a set leaves the store, the state and the kernel unchanged."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes import DETECTOR, ROOT, FakeClock, FakeDatapath, ask, controller, place
from tests.support.setcalls import (
    change,
    hosts,
    listed,
    put,
    refused,
    remove,
    submit,
    texts,
    wanted,
)
from xdpctl.abi.constants import Constants
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.control.operations import sets
from xdpctl.control.state.draft import Draft
from xdpctl.errors import (
    CapacityError,
    LockoutError,
    NotFoundError,
    RoleError,
    RuleError,
    StaleError,
)
from xdpctl.model.effect import Mode
from xdpctl.model.identity import Caller, Role
from xdpctl.model.protection import CONFIGURED
from xdpctl.model.rule import OPERATOR

AWAY = Caller("token hands", Role.OPERATOR, OPERATOR, parse_prefix("45.0.0.7"))


@pytest.fixture
def control(tmp_path: Path, datapath: FakeDatapath, clock: FakeClock) -> Iterator[Controller]:
    with controller(tmp_path, datapath, clock, {"198.51.100.0/24": CONFIGURED}) as running:
        yield running


def test_there_are_64_sets_and_no_more(control: Controller) -> None:
    for number in range(Constants.SETS_MAX):
        put(
            control, wanted(f"s{number}", f"45.0.0.{number}", action=["drop", "accept"][number % 2])
        )
    slots = {held.slot for held in control.state.sets.values()}
    assert len(slots) == Constants.SETS_MAX
    refused(
        control, CapacityError, "there are 64 sets", lambda: put(control, wanted("x", "45.0.1.1"))
    )
    other = wanted("s0", "45.0.0.0", action="accept", force=True)
    refused(control, CapacityError, "there are 64 sets", lambda: put(control, other))
    put(control, wanted("s0", "45.0.0.99"))
    remove(control, "s1")
    assert put(control, other).set.action == "accept"


@pytest.mark.parametrize("name", ["", "No", "a b", "../x", "a/b", "x" * 200, "ä"])
def test_only_plain_names_are_accepted(control: Controller, name: str) -> None:
    error = refused(control, RuleError, "name", lambda: put(control, wanted(name, "45.0.0.1")))
    assert isinstance(error, RuleError)
    assert error.field == "name"


def test_too_many_entries_are_refused_beforehand_with_the_numbers(control: Controller) -> None:
    control.state.capacity = {4: 10, 6: 2}
    place(control, ask("10.0.0.1"))
    put(control, wanted("bad", *hosts(5)))  # seven with the rule and what is protected
    says = "room for 10 IPv4 entries and has 7; 4 more do not fit, and nothing was applied"
    refused(control, CapacityError, says, lambda: put(control, wanted("x", *hosts(4, 100))))
    says = "has 7; 4 more do not fit"
    refused(control, CapacityError, says, lambda: put(control, wanted("bad", *hosts(9))))
    many = ("2001:db8::1", "2001:db8::2", "2001:db8::3")
    says = "room for 2 IPv6 entries and has 0; 3 more"
    refused(control, CapacityError, says, lambda: put(control, wanted("x", *many)))
    put(control, wanted("x", *hosts(3, 100), *many[:2]))
    assert control.state.used(4) == 10
    put(control, wanted("bad", *hosts(5, 200)))  # as many as before, into a full table
    remove(control, "x")
    put(control, wanted("bad", *hosts(8)))


def test_two_sets_of_one_batch_cannot_both_take_the_last_room(control: Controller) -> None:
    def operation(draft: Draft) -> str:
        sets.put(draft, wanted("a", *hosts(6)), ROOT)
        with pytest.raises(CapacityError, match="has 7; 5 more"):
            sets.put(draft, wanted("b", *hosts(5, 50)), ROOT)
        sets.remove(draft, "a", ROOT, None, {})
        sets.put(draft, wanted("b", *hosts(9, 50)), ROOT)
        return "done"

    control.state.capacity = {4: 10, 6: 2}
    assert control.submit(operation).result(10) == "done"
    assert len(texts(control, "b")) == 9


def test_a_change_of_an_older_version_is_stale(control: Controller, clock: FakeClock) -> None:
    old = put(control, wanted("bad", *hosts(3))).set.etag
    clock.advance(1)
    new = put(control, wanted("bad", *hosts(3, 1)), etag=old).set.etag
    assert new != old
    for call in (
        lambda: put(control, wanted("bad", *hosts(3)), etag=old),
        lambda: change(control, "bad", etag=old, reason="x"),
        lambda: remove(control, "bad", etag=old),
        lambda: put(control, wanted("new", *hosts(3)), etag=old),
    ):
        refused(control, StaleError, "changed since it was read", call)
    clock.advance(1)
    newer = change(control, "bad", etag=new, reason="x").set.etag
    clock.advance(1)
    remove(control, "bad", etag=newer)


def test_one_of_two_simultaneous_replacements_with_the_same_etag_is_stale(
    control: Controller, clock: FakeClock
) -> None:
    old = put(control, wanted("bad", *hosts(3))).set.etag
    clock.advance(1)
    held, go = threading.Event(), threading.Event()
    control.submit(lambda draft: held.set() or go.wait(10))  # type: ignore[func-returns-value]
    held.wait(10)  # so that both are of one batch
    asks = [wanted("bad", *hosts(3, first)) for first in (10, 20)]
    futures = [submit(control, each, etag=old) for each in asks]
    go.set()
    assert not futures[0].result(10).created
    with pytest.raises(StaleError):
        futures[1].result(10)
    assert texts(control, "bad") == [f"{host}/32" for host in hosts(3, 10)]


def test_without_an_etag_the_last_of_two_replacements_stands(
    control: Controller, datapath: FakeDatapath
) -> None:
    futures = [submit(control, wanted("bad", *hosts(3, first))) for first in range(20)]
    slots = {future.result(10).set.slot for future in futures}
    assert len(slots) == 1
    assert listed(datapath, slots.pop()) == {f"{host}/32" for host in hosts(3, 19)}


def test_a_set_removed_while_its_list_was_read_is_not_made_again_by_if_match(
    control: Controller, clock: FakeClock
) -> None:
    etag = put(control, wanted("bad", *hosts(3))).set.etag
    remove(control, "bad")
    refused(
        control,
        StaleError,
        "read it again",
        lambda: put(control, wanted("bad", *hosts(3)), etag=etag),
    )
    refused(control, NotFoundError, "no set", lambda: change(control, "bad", etag=etag, reason="x"))


def test_sets_belong_to_operators(control: Controller) -> None:
    put(control, wanted("bad", *hosts(3)))
    for call in (
        lambda: put(control, wanted("bad", *hosts(3)), DETECTOR),
        lambda: put(control, wanted("new", *hosts(3)), DETECTOR),
        lambda: change(control, "bad", DETECTOR, reason="x"),
        lambda: remove(control, "bad", DETECTOR),
    ):
        refused(control, RoleError, "only operator may change sets", call)


def test_a_caller_may_not_put_himself_into_a_dropping_set(control: Controller) -> None:
    mine = wanted("bad", "45.0.0.0/24")
    says = "after this change, 45.0.0.0/24 of the set bad would drop 45.0.0.7"
    refused(control, LockoutError, says, lambda: put(control, mine, AWAY))
    put(control, wanted("bad", "45.0.0.0/24", mode="monitor"), AWAY)
    refused(control, LockoutError, says, lambda: change(control, "bad", AWAY, mode=Mode.ENFORCE))
    place(control, ask("45.0.0.7", "accept"))
    change(control, "bad", AWAY, mode=Mode.ENFORCE)


def test_a_caller_may_not_remove_the_set_that_accepts_him(control: Controller) -> None:
    put(control, wanted("ours", "45.0.0.7", action="accept"))
    place(control, ask("45.0.0.0/24"))
    for call in (
        lambda: remove(control, "ours", AWAY),
        lambda: change(control, "ours", AWAY, mode=Mode.MONITOR),
        lambda: put(control, wanted("ours", "45.0.0.8", action="accept"), AWAY),
        lambda: put(control, wanted("ours", "45.0.0.7", force=True), AWAY),
    ):
        refused(control, LockoutError, "would drop 45.0.0.7", call)
    put(control, wanted("ours", "45.0.0.7", "45.0.0.8", action="accept"), AWAY)
    change(control, "ours", AWAY, reason="mine")
    remove(control, "ours")


def test_a_caller_who_is_dropped_already_is_not_guarded(control: Controller) -> None:
    place(control, ask("45.0.0.0/24"))
    put(control, wanted("bad", "45.0.0.7"), AWAY)


def test_a_protected_caller_cannot_lock_himself_out(control: Controller) -> None:
    inside = Caller("token hands", Role.OPERATOR, OPERATOR, parse_prefix("198.51.100.7"))
    put(control, wanted("bad", "198.51.100.7", "198.0.0.0/8"), inside)
