# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets after restarts and reboots, and after another process has written to the kernel's tables."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import (
    BreakableStore,
    FakeClock,
    FakeDatapath,
    ask,
    controller,
    place,
    upkeep,
)
from tests.support.setcalls import HIGH, LOW, Recorder, hosts, listed, put, remove, texts, wanted
from tests.support.spaces import entries, parsed
from xdpctl.abi.constants import Action, Reason
from xdpctl.abi.structs import Hits, Slot
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.net.prefix_arrays import FAMILIES
from xdpctl.control.controller import Controller
from xdpctl.control.store.records import ENTRIES, SETS
from xdpctl.datapath.writes import PointAllAt, PointAt, Word
from xdpctl.model.source_set import FeedSource, Options

BAD = ("45.0.0.0/24", "45.0.0.7", "2001:db8::/32")
HOST, NET, NET6 = parsed("45.0.0.7", "45.0.0.0/24", "2001:db8::/32")


def fill(control: Controller) -> None:
    place(control, ask("45.0.0.0/24", "accept"))
    feed = FeedSource(url="https://feeds.test/", refresh=600.0, etag='"v1"')
    options = Options(aggregate=True, widen_ipv4=24)
    counts = {"lines": 3, "too_wide": 0}
    put(control, wanted("bad", *BAD, feed=feed, options=options, reason="why", counts=counts))
    put(control, wanted("good", "45.0.0.7", action="accept", mode="monitor"))


def test_a_restart_finds_its_sets_and_writes_nothing(tmp_path: Path, clock: FakeClock) -> None:
    datapath = Recorder()
    with controller(tmp_path, datapath, clock) as control:
        fill(control)
        put(control, wanted("empty", force=True))
        sets, before = dict(control.state.sets), datapath.listed()
        datapath.hit_values[HIGH] = Hits(23, 1481).pack()
    datapath.writes = []
    with controller(tmp_path, datapath, clock) as control:
        assert control.state.sets == sets
        assert texts(control, "bad") == [str(prefix) for prefix in (NET, HOST, NET6)]
        assert datapath.listed() == before
        assert datapath.hits([HIGH]) == [Hits(23, 1481)], "counters go on"
        started = json.loads(control.store.audit()[-1])
        assert started["detail"] == {"rules": 1, "sets": 3}
    assert datapath.writes == []


def test_a_reboot_builds_all_sets_anew(tmp_path: Path, clock: FakeClock) -> None:
    with controller(tmp_path, FakeDatapath(), clock) as control:
        fill(control)
    clock.reboot(seconds_down=60)
    datapath = FakeDatapath()
    with controller(tmp_path, datapath, clock):
        assert listed(datapath, HIGH) == {str(prefix) for prefix in (HOST, NET, NET6)}
        assert listed(datapath, LOW) == {"45.0.0.7/32"}
        assert datapath.decide(HOST.address, clock.ns) is Reason.DROPPED


def lose(datapath: FakeDatapath) -> None:
    datapath.drop(NET)
    datapath.drop(NET6)


def add(datapath: FakeDatapath) -> None:
    for text, slot in (("45.9.9.9", HIGH), ("2001:db9::/32", LOW), ("45.0.0.0/24", LOW)):
        datapath.write(PointAt(parse_prefix(text), 0, slot))


def lose_one_of_two(datapath: FakeDatapath) -> None:
    datapath.write(PointAt(HOST, HIGH, 0))


def swap(datapath: FakeDatapath) -> None:
    datapath.write(PointAt(HOST, HIGH, HIGH - 1))


def change_what_it_does(datapath: FakeDatapath) -> None:
    datapath.write(Word(HIGH, Slot(Action.ACCEPT).pack()))


def add_a_set(datapath: FakeDatapath) -> None:
    datapath.write(Word(30, Slot(Action.DROP).pack()))
    datapath.write(PointAllAt(4, entries("45.1.0.0/16", "45.0.0.0/24")[4], 0, 30))


def take_everything(datapath: FakeDatapath) -> None:
    for prefix in datapath.listed():
        datapath.drop(prefix)


SPOILS = [lose, add, lose_one_of_two, swap, change_what_it_does, add_a_set, take_everything]
Spoil = Callable[[FakeDatapath], None]


def repairs(control: Controller) -> list[dict[str, Any]]:
    found = [json.loads(row) for row in control.store.audit()]
    return [record["detail"] for record in found if record["action"] == "kernel.repair"]


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_restart_brings_the_tables_to_the_sets_of_the_store(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock, spoil: Spoil
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        fill(control)
        tables, words = datapath.listed(), datapath.source.words.tolist()
    spoil(datapath)
    with controller(tmp_path, datapath, clock):
        assert datapath.listed() == tables
        assert datapath.source.words[: HIGH + 1].tolist() == words[: HIGH + 1]
        assert datapath.decide(HOST.address, clock.ns) is Reason.DROPPED


@pytest.mark.parametrize("spoil", SPOILS)
def test_upkeep_repairs_foreign_changes(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock, spoil: Spoil
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        fill(control)
        upkeep(control, clock)
        tables, words = datapath.listed(), datapath.source.words.tolist()
        assert not repairs(control)
        spoil(datapath)
        upkeep(control, clock)
        assert datapath.listed() == tables
        assert datapath.source.words[: HIGH + 1].tolist() == words[: HIGH + 1]
        (repaired,) = repairs(control)
        assert repaired["entries"] >= 1
        upkeep(control, clock)
        assert len(repairs(control)) == 1


def test_upkeep_changes_nothing_in_correct_sets(tmp_path: Path, clock: FakeClock) -> None:
    datapath = Recorder()
    with controller(tmp_path, datapath, clock) as control:
        fill(control)
        put(control, wanted("empty", force=True))
        put(control, wanted("many", *hosts(3000), "2001:db8::7"))
        put(control, wanted("over", *hosts(2000, 1000), action="accept"))
        datapath.writes = []
        for _ in range(3):
            upkeep(control, clock)
        assert not repairs(control)
        assert datapath.writes == []
        remove(control, "many")
        upkeep(control, clock, steps=200)
        assert not repairs(control)
        assert datapath.decide(parse_prefix("45.0.4.1").address, clock.ns) is Reason.ACCEPTED


def test_sets_in_the_kernel_stay_in_force_when_the_store_is_gone(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        fill(control)
    (tmp_path / "rules.sqlite").unlink()
    for more in tmp_path.glob("rules.sqlite-*"):
        more.unlink()
    with controller(tmp_path, datapath, clock) as control:
        assert datapath.decide(HOST.address, clock.ns) is Reason.DROPPED
        assert {held.slot for held in control.state.sets.values()} == {HIGH, LOW}
        assert all(name.startswith("recovered-") for name in control.state.sets)
        (problem,) = control.store_problems()
        assert "the store was lost: 1 rules and 2 sets" in problem
    with controller(tmp_path, datapath, clock) as control:
        assert control.store_problems() == []
        assert datapath.decide(HOST.address, clock.ns) is Reason.DROPPED


@pytest.mark.parametrize("key", [SETS + "bad", ENTRIES + "bad"])
def test_a_record_that_is_unreadable_is_set_aside_and_named(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock, key: str
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        fill(control)
        control.store.write({key: b"{nonsense"})
    with controller(tmp_path, datapath, clock) as control:
        (problem,) = control.store_problems()
        assert f"the record {key} is unreadable" in problem
        assert set(control.state.sets) == {"good", "bad"}, "as the kernel has it"
        assert datapath.decide(HOST.address, clock.ns) is Reason.DROPPED, "the kernel goes on"
        place(control, ask("203.0.113.7"))
    store = BreakableStore(tmp_path / "rules.sqlite")
    store.write({SETS + "bad": None, ENTRIES + "bad": None})
    store.close()
    with controller(tmp_path, datapath, clock) as control:
        assert list(control.state.sets) == ["good"]


def test_sets_are_read_back_exactly_as_stored(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    many = ("0.0.0.0/0", "0.0.0.0", "255.255.255.255", "::/0", "::", "::/8", "ff00::/8", "::1")
    with controller(tmp_path, datapath, clock) as control:
        put(control, wanted("all", *many, action="accept"))
        held = control.state.entries["all"]
    with controller(tmp_path, datapath, clock) as control:
        again = control.state.entries["all"]
        for number, family in FAMILIES.items():
            assert family.prefixes(again[number]) == family.prefixes(held[number])
            assert again[number].dtype == held[number].dtype
        assert put(control, wanted("all", *many, action="accept")).set.report["added"] == 0
