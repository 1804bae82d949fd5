# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets in the controller: creating, replacing by differences, changing at once, removing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import ROOT, FakeClock, ask, controller, place, upkeep
from tests.support.setcalls import (
    HIGH,
    LOW,
    Recorder,
    change,
    hosts,
    listed,
    put,
    remove,
    texts,
    wanted,
)
from tests.support.spaces import entries
from xdpctl.abi.constants import Reason
from xdpctl.abi.structs import Hits
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.control.operations import sets
from xdpctl.control.state.draft import Draft
from xdpctl.control.store.port import KeyChange
from xdpctl.datapath.writes import PointAllAt, Word, Write
from xdpctl.errors import NotFoundError
from xdpctl.model.effect import Action, Mode
from xdpctl.model.source_set import FeedSource

HOST, HOST6 = parse_prefix("45.0.0.7").address, parse_prefix("2001:db8::7").address
BAD = ("45.0.0.0/24", "45.0.0.7", "2001:db8::/32")


@pytest.fixture
def datapath() -> Recorder:
    return Recorder()


@pytest.fixture
def control(tmp_path: Path, datapath: Recorder, clock: FakeClock) -> Iterator[Controller]:
    with controller(tmp_path, datapath, clock) as running:
        yield running


def records(control: Controller, action: str) -> list[dict[str, Any]]:
    found = [json.loads(row) for row in control.store.audit()]
    return [record for record in found if record["action"] == action]


def test_a_new_set_drops_its_entries(
    control: Controller, datapath: Recorder, clock: FakeClock
) -> None:
    made = put(control, wanted("bad", *BAD, reason="a feed", counts={"lines": 4, "too_wide": 0}))
    assert made.created
    assert made.set.slot == HIGH
    assert made.set.report == {
        **{"lines": 4, "too_wide": 0},
        **{"entries": 3, "added": 3, "removed": 0},
    }
    assert listed(datapath, HIGH) == {"45.0.0.0/24", "45.0.0.7/32", "2001:db8::/32"}
    for address in (HOST, HOST6):
        assert datapath.decide(address, clock.ns) is Reason.DROPPED
    assert datapath.decide(parse_prefix("45.0.1.7").address, clock.ns) is Reason.NO_RULE
    assert control.state.sets == {"bad": made.set}


def test_a_changed_list_writes_only_the_differences(
    control: Controller, datapath: Recorder, clock: FakeClock
) -> None:
    put(control, wanted("bad", *hosts(3000)))
    assert datapath.led() == 3000
    clock.advance(60)
    made = put(control, wanted("bad", *hosts(3000, first=10)))
    assert datapath.led() == 20
    assert not made.created
    assert (made.set.report["added"], made.set.report["removed"]) == (10, 10)
    assert listed(datapath, HIGH) == {f"{host}/32" for host in hosts(3000, first=10)}
    assert datapath.decide(parse_prefix("45.0.0.9").address, clock.ns) is Reason.NO_RULE
    clock.advance(60)
    again = put(control, wanted("bad", *hosts(3000, first=10))).set
    assert datapath.writes == []
    assert again.created_at == made.set.created_at < again.changed_at


def test_new_entries_are_added_before_old_ones_are_removed(
    control: Controller, datapath: Recorder
) -> None:
    put(control, wanted("bad", "45.0.0.0/24"))
    datapath.writes = []
    put(control, wanted("bad", "45.0.0.0/25", "45.0.0.128/25"))
    first, second = datapath.writes
    assert isinstance(first, PointAllAt)
    assert isinstance(second, PointAllAt)
    assert (first.old, first.new, second.old, second.new) == (0, HIGH, HIGH, 0)


def test_a_mode_changes_for_all_entries_with_one_write(
    control: Controller, datapath: Recorder, clock: FakeClock
) -> None:
    put(control, wanted("bad", *BAD))
    datapath.writes = []
    clock.advance(1)
    changed = change(control, "bad", mode=Mode.MONITOR, reason="look first").set
    assert [type(write) for write in datapath.writes] == [Word]
    assert datapath.decide(HOST, clock.ns) is Reason.NO_RULE
    assert (changed.mode, changed.reason) == (Mode.MONITOR, "look first")
    assert texts(control, "bad") == ["45.0.0.0/24", "45.0.0.7/32", "2001:db8::/32"]
    change(control, "bad", mode=Mode.ENFORCE)
    assert datapath.decide(HOST, clock.ns) is Reason.DROPPED


def test_a_changed_reason_writes_nothing_to_the_kernel(
    control: Controller, datapath: Recorder
) -> None:
    put(control, wanted("bad", *BAD))
    datapath.writes = []
    change(control, "bad", reason="why not")
    change(control, "bad", feed=FeedSource(url="https://feeds.test/"))
    assert datapath.writes == []
    assert control.state.sets["bad"].reason == "why not"


def test_a_changed_action_takes_another_slot_and_new_counters(
    control: Controller, datapath: Recorder, clock: FakeClock
) -> None:
    put(control, wanted("bad", *BAD))
    datapath.hit_values[HIGH] = Hits(23, 1481).pack()
    made = put(control, wanted("bad", *BAD, action="accept", force=True))
    assert not made.created
    assert made.set.slot == LOW
    assert listed(datapath, HIGH) == set()
    assert datapath.decide(HOST, clock.ns) is Reason.ACCEPTED
    assert datapath.hits([LOW]) == [Hits(0, 0)]
    back = put(control, wanted("bad", *BAD, force=True))
    assert back.set.slot == HIGH
    assert datapath.hits([HIGH]) == [Hits(0, 0)]
    assert datapath.decide(HOST, clock.ns) is Reason.DROPPED


def test_while_the_action_changes_every_entry_is_in_the_old_or_the_new_slot(
    control: Controller, datapath: Recorder, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(control, wanted("bad", *BAD))
    seen: list[Reason] = []
    make = datapath.write

    def write(each: Write) -> None:
        make(each)
        seen.append(datapath.decide(HOST, clock.ns))

    datapath.fail_after = 1000  # so that writes are made one by one
    monkeypatch.setattr(datapath, "write", write)
    put(control, wanted("bad", *BAD, action="accept", force=True))
    assert len(seen) > 4
    assert set(seen) == {Reason.DROPPED, Reason.ACCEPTED}
    assert seen == sorted(seen, key=[Reason.DROPPED, Reason.ACCEPTED].index)


def test_a_removed_set_leaves_no_entry_and_frees_its_slot(
    control: Controller, datapath: Recorder, clock: FakeClock
) -> None:
    put(control, wanted("bad", *BAD))
    gone = remove(control, "bad", packets=23, bytes=1481)
    assert gone.name == "bad"
    assert datapath.listed() == {}
    assert datapath.decide(HOST, clock.ns) is Reason.NO_RULE
    assert not control.state.sets
    assert not control.state.entries
    kept = [c for c in control.store.watch(None) if isinstance(c, KeyChange) and c.value]
    assert not [change for change in kept if "bad" in change.key]
    assert put(control, wanted("other", *BAD)).set.slot == HIGH
    for call in (lambda: remove(control, "bad"), lambda: change(control, "bad", reason="x")):
        with pytest.raises(NotFoundError, match="no set 'bad'"):
            call()


def test_sets_and_rules_on_one_prefix_do_not_disturb_each_other(
    control: Controller, datapath: Recorder, clock: FakeClock
) -> None:
    (prefix,) = (parse_prefix("45.0.0.7"),)
    put(control, wanted("bad", "45.0.0.7"))
    put(control, wanted("good", "45.0.0.7", action="accept"))
    place(control, ask("45.0.0.7"))
    assert len(datapath.listed()[prefix]) == 3
    assert datapath.decide(HOST, clock.ns) is Reason.DROPPED
    remove(control, "bad")
    assert datapath.decide(HOST, clock.ns) is Reason.DROPPED, "the rule decides"
    place(control, ask("45.0.0.8", ttl=1.0))
    put(control, wanted("good", "45.0.0.7", "45.0.0.8", action="accept"))
    upkeep(control, clock, seconds=2)
    assert datapath.decide(parse_prefix("45.0.0.8").address, clock.ns) is Reason.ACCEPTED


def test_every_change_is_audited_with_counts(control: Controller) -> None:
    put(control, wanted("bad", *BAD, counts={"rejected": 2, "too_wide": 0}))
    put(control, wanted("bad", "45.0.0.0/24", "45.0.0.8", mode="monitor"))
    change(control, "bad", reason="why", mode=Mode.ENFORCE)
    remove(control, "bad", packets=23, bytes=1481)
    (added,) = records(control, "set.add")
    replaced, changed = records(control, "set.change")
    (removed,) = records(control, "set.remove")
    for record in (added, replaced, changed, removed):
        assert (record["actor"], record["subject"]) == (ROOT.name, "bad")
    assert added["detail"] == {
        **{"action": "drop", "mode": "enforce", "rejected": 2, "too_wide": 0},
        **{"entries": 3, "added": 3, "removed": 0},
    }
    assert replaced["detail"]["mode"] == "monitor"
    assert (replaced["detail"]["added"], replaced["detail"]["removed"]) == (1, 2)
    assert changed["detail"] == {"reason": "why", "mode": "enforce"}
    assert removed["detail"] == {"entries": 2, "action": "drop", "packets": 23, "bytes": 1481}


def test_two_changes_of_one_batch_are_both_made(control: Controller, datapath: Recorder) -> None:
    def operation(draft: Draft) -> None:
        sets.put(draft, wanted("a", "45.0.0.1"), ROOT)
        sets.put(draft, wanted("b", "45.0.0.2", action="accept"), ROOT)
        sets.put(draft, wanted("c", "45.0.0.3"), ROOT)
        sets.remove(draft, "a", ROOT, None, {})
        sets.put(draft, wanted("d", "45.0.0.4"), ROOT)

    control.submit(operation).result(10)
    slots = {name: held.slot for name, held in control.state.sets.items()}
    assert sorted(slots) == ["b", "c", "d"]
    assert len(set(slots.values())) == 3
    assert {str(prefix) for prefix in datapath.listed()} == {f"45.0.0.{n}/32" for n in (2, 3, 4)}
    assert control.state.entries["d"][4].tolist() == entries("45.0.0.4")[4].tolist()
    assert control.state.sets["b"].action is Action.ACCEPT
