# SPDX-License-Identifier: GPL-2.0-or-later
"""Adding, changing and removing sets, write by write, among rules: no wrong state in between."""

from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fakes import FakeDatapath
from tests.support.spaces import by_family, prefixes_of
from tests.support.walks import NOW, PREFIXES, TARGETS, change, tables, undisturbed, verdicts, walk
from xdpctl.abi.constants import Action, Mode, Reason, SlotNumber
from xdpctl.base.net.prefix import Prefix
from xdpctl.datapath.image import PROTECTED, Image, Listing, own_slot
from xdpctl.datapath.plan import differences, replace_set, transition
from xdpctl.datapath.readback import read


def listing(slot: int, prefixes: Iterable[Prefix], mode: Mode = Mode.ENFORCE) -> Listing:
    action = Action.ACCEPT if slot < SlotNumber.SETS + 32 else Action.DROP
    return Listing(own_slot(action, mode, 0).value, by_family(prefixes))


LOW, HIGH = SlotNumber.SETS, SlotNumber.FIRST - 1
SETS = (LOW, LOW + 1, HIGH - 1, HIGH)
listings = st.builds(
    lambda slot, prefixes, mode: (slot, None if mode is None else (prefixes, mode)),
    st.sampled_from(SETS),
    st.sets(st.sampled_from(PREFIXES)),
    st.sampled_from([Mode.ENFORCE, Mode.ENFORCE, Mode.MONITOR, None]),
)


@settings(max_examples=300)
@given(st.lists(st.one_of(tables, listings), min_size=2, max_size=6))
def test_verdicts_stay_right_while_sets_are_added_changed_and_removed(
    steps: list[Any],
) -> None:
    kernel, image = FakeDatapath(capacity=64), Image(64)
    for step in steps:
        if isinstance(step, dict):
            undisturbed(kernel, change(kernel, image, step))
            continue
        slot, wanted = step
        plan = replace_set(image, slot, listing(slot, *wanted) if wanted else None)
        undisturbed(kernel, walk(kernel, image, plan))
    again, dropped = read(kernel.source, 64)
    assert not dropped
    assert again.entries == image.entries
    assert {s: k for s, k in lists(again).items() if k} == {
        s: k for s, k in lists(image).items() if k
    }


def lists(image: Image) -> dict[int, list[Prefix]]:
    return {slot: prefixes_of(by) for slot, by in image.sets.items()}


@settings(max_examples=100)
@given(st.lists(st.one_of(tables, listings), min_size=2, max_size=6))
def test_a_plan_applied_at_once_gives_the_same_as_write_by_write(steps: list[Any]) -> None:
    singly, at_once, image = FakeDatapath(capacity=64), FakeDatapath(capacity=64), Image(64)
    for step in steps:
        if isinstance(step, dict):
            plan = transition(image, differences(step, image), NOW)
        else:
            slot, wanted = step
            plan = replace_set(image, slot, listing(slot, *wanted) if wanted else None)
        at_once.apply(plan)
        list(walk(singly, image, plan))
        assert at_once.listed() == singly.listed()
        assert verdicts(at_once) == verdicts(singly)


def test_a_new_set_is_invisible_until_all_of_it_is_there() -> None:
    kernel, image = FakeDatapath(), Image(16)
    seen = [
        verdicts(kernel)
        for _ in walk(kernel, image, replace_set(image, HIGH, listing(HIGH, PREFIXES)))
    ]
    assert all(set(found) == {Reason.NO_RULE} for found in seen[:-1])
    assert set(seen[-1]) == {Reason.DROPPED}


def test_a_removed_set_is_gone_at_once() -> None:
    kernel, image = FakeDatapath(), Image(16)
    list(walk(kernel, image, replace_set(image, HIGH, listing(HIGH, PREFIXES))))
    seen = [verdicts(kernel) for _ in walk(kernel, image, replace_set(image, HIGH, None))]
    assert all(set(found) == {Reason.NO_RULE} for found in seen)
    assert not kernel.listed()


def test_on_one_prefix_protection_decides_before_rules_and_rules_before_sets() -> None:
    kernel, image, prefix = FakeDatapath(), Image(16), PREFIXES[0]
    address = prefix.address
    list(walk(kernel, image, replace_set(image, HIGH, listing(HIGH, [prefix]))))
    assert kernel.decide(address, NOW) == Reason.DROPPED
    list(walk(kernel, image, replace_set(image, LOW, listing(LOW, [prefix]))))
    assert kernel.decide(address, NOW) == Reason.ACCEPTED
    list(change(kernel, image, {prefix: TARGETS["drop"]}))
    assert kernel.decide(address, NOW) == Reason.DROPPED
    list(change(kernel, image, {prefix: PROTECTED}))
    assert kernel.decide(address, NOW) == Reason.PROTECTED
    assert kernel.listed() == {prefix: (SlotNumber.PROTECTED, LOW, HIGH)}


def test_an_unchanged_set_needs_no_write() -> None:
    kernel, image = FakeDatapath(), Image(16)
    wanted = listing(HIGH, PREFIXES[:5])
    list(walk(kernel, image, replace_set(image, HIGH, wanted)))
    assert not replace_set(image, HIGH, wanted).writes
