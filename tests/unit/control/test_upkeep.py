# SPDX-License-Identifier: GPL-2.0-or-later
"""Periodic upkeep: restarts, reboots, expiry, drift, and failures."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.support.fakes import (
    DETECTOR,
    ROOT,
    BreakableStore,
    FakeClock,
    FakeDatapath,
    ask,
    controller,
    place,
    upkeep,
)
from xdpctl.abi.constants import Action, Reason, SlotNumber
from xdpctl.abi.structs import Hits, Slot
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.control.operations.rules import confirm
from xdpctl.control.store import audit
from xdpctl.datapath.writes import PointAt, Word
from xdpctl.errors import NotFoundError, StoreError
from xdpctl.model.protection import CONFIGURED

HOST = parse_prefix("203.0.113.7")
NET = parse_prefix("192.0.2.0/24")
SECOND = 10**9


def last(control: Controller, action: str) -> list[dict[str, object]]:
    records = [json.loads(row) for row in control.store.audit()]
    return [record for record in records if record["action"] == action]


def fill(control: Controller) -> None:
    place(control, ask("203.0.113.7", ttl=600.0))
    place(control, ask("192.0.2.0/24", "accept"))
    place(control, ask("2001:db8::/32", mode="monitor"))


def test_a_restart_finds_its_tables_and_writes_nothing(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        fill(control)
        rules = dict(control.state.rules)
    tables = datapath.held()
    datapath.fail_after = 0
    with controller(tmp_path, datapath, clock) as control:
        assert control.state.rules == rules
        assert datapath.held() == tables
        assert datapath.fail_after == 0


def test_a_restart_brings_the_tables_to_the_store(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        fill(control)
        tables = datapath.held()
    datapath.drop(NET)
    datapath.write(PointAt(parse_prefix("198.51.100.1"), 0, SlotNumber.FIRST + 7))
    with controller(tmp_path, datapath, clock):
        assert datapath.held() == tables
        assert datapath.decide(NET.address, clock.ns) is Reason.ACCEPTED


def test_a_reboot_keeps_the_remaining_lifetime(tmp_path: Path, clock: FakeClock) -> None:
    with controller(tmp_path, FakeDatapath(), clock) as control:
        fill(control)
        place(control, ask("198.51.100.1", ttl=30.0))
    clock.advance(100)
    clock.reboot(seconds_down=50)
    datapath = FakeDatapath()
    with controller(tmp_path, datapath, clock) as control:
        rule = control.state.rules[HOST]
        assert rule.expires_ns == pytest.approx(clock.ns + 450 * SECOND, abs=SECOND // 100)
        held = datapath.held()
        assert held["203.0.113.7/32"].expires_ns == rule.expires_ns
        assert held.keys() == {"203.0.113.7/32", "192.0.2.0/24", "2001:db8::/32"}


def test_an_expired_rule_is_swept_and_audited_with_its_hits(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        fill(control)
        datapath.hit(HOST, Hits(23, 1481))
        upkeep(control, clock, seconds=599)
        assert HOST in control.state.rules
        upkeep(control, clock, seconds=2.1)
        assert HOST not in control.state.rules
        assert "203.0.113.7/32" not in datapath.held()
        (record,) = last(control, "rule.expire")
        assert record["subject"] == "203.0.113.7_32"
        assert record["detail"]["packets"] == 23  # type: ignore[index]


def test_a_provisional_rule_undoes_itself(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        place(control, ask("203.0.113.7", ttl=600.0, confirm_within=60.0))
        assert datapath.decide(HOST.address, clock.ns) is Reason.DROPPED
        assert datapath.decide(HOST.address, clock.ns + 60 * SECOND) is Reason.NO_RULE
        upkeep(control, clock, seconds=61)
        assert len(last(control, "rule.undo")) == 1
        with pytest.raises(NotFoundError):
            control.submit(lambda draft: confirm(draft, str(HOST), ROOT, None)).result(10)


def test_a_confirmed_rule_stands_until_its_own_end(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        place(control, ask("203.0.113.7", ttl=600.0, confirm_within=60.0))
        start = clock.ns
        clock.advance(59)
        control.submit(lambda draft: confirm(draft, str(HOST), ROOT, None)).result(10)
        upkeep(control, clock, seconds=60)
        assert HOST in control.state.rules
        assert datapath.held()["203.0.113.7/32"].expires_ns == start + 600 * SECOND


def drop_entry(datapath: FakeDatapath) -> None:
    datapath.drop(HOST)


def add_entry(datapath: FakeDatapath) -> None:
    datapath.write(PointAt(parse_prefix("198.51.100.0/24"), 0, SlotNumber.FIRST))


def change_slot(datapath: FakeDatapath) -> None:
    ((slot,),) = datapath.source.slots_of([HOST])
    datapath.write(Word(slot, Slot(Action.ACCEPT).pack()))


def swap_entries(datapath: FakeDatapath) -> None:
    ((net,), (host,)) = datapath.source.slots_of([NET, HOST])
    datapath.write(PointAt(HOST, host, net))


@pytest.mark.parametrize("spoil", [drop_entry, add_entry, change_slot, swap_entries])
def test_foreign_changes_are_repaired_and_audited(
    tmp_path: Path,
    datapath: FakeDatapath,
    clock: FakeClock,
    spoil: Callable[[FakeDatapath], None],
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        fill(control)
        upkeep(control, clock)
        tables = datapath.held()
        assert not last(control, "kernel.repair")
        spoil(datapath)
        upkeep(control, clock)
        assert datapath.held() == tables
        (record,) = last(control, "kernel.repair")
        assert record["detail"]["entries"] >= 1  # type: ignore[index]
        upkeep(control, clock)
        assert len(last(control, "kernel.repair")) == 1


def test_the_front_filters_are_repainted_after_enough_removals(
    tmp_path: Path, clock: FakeClock
) -> None:
    datapath = FakeDatapath(capacity=200)
    with controller(tmp_path, datapath, clock) as control:
        for number in range(70):
            place(control, ask(f"10.0.{number}.1", ttl=60.0))
        place(control, ask("10.1.0.1"))
        upkeep(control, clock, seconds=61, steps=200)
        upkeep(control, clock, steps=200)
        near = np.frombuffer(datapath.memory_of["near4"], np.uint64)[::2]
        marked = [int(near[(10 << 16 | net) >> 6]) >> (net & 63) & 1 for net in (5, 256)]
        assert marked == [0, 1]
        assert datapath.decide(bytes((10, 1, 0, 1)), clock.ns) is Reason.DROPPED


def test_an_upkeep_error_is_reported_and_cleared_when_it_is_over(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        assert isinstance(control.store, BreakableStore)
        place(control, ask("203.0.113.7", ttl=1.0))
        control.store.broken = True
        upkeep(control, clock)
        assert "refuses" in (control.problem or "")
        assert HOST in control.state.rules
        control.store.broken = False
        upkeep(control, clock)
        assert control.problem is None
        assert HOST not in control.state.rules


def test_a_drop_inside_protection_stays_suspended_over_a_restart(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    with controller(tmp_path, datapath, clock) as control:
        place(control, ask("203.0.113.7", ttl=600.0), DETECTOR)
    why = {"203.0.113.0/24": CONFIGURED}
    with controller(tmp_path, datapath, clock, protection=why) as control:
        assert datapath.decide(HOST.address, clock.ns) is Reason.PROTECTED
        assert HOST in control.state.rules


def test_all_upkeep_records_are_in_one_unbroken_chain(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    for starts in (1, 2, 3):
        with controller(tmp_path, datapath, clock) as control:
            fill(control)
            drop_entry(datapath)
            upkeep(control, clock, seconds=601)
            verdict = audit.verify(control.store.audit())
            assert verdict.problem is None
            assert verdict.records == len(control.store.audit())
            assert len(last(control, "control.start")) == starts


def test_the_store_error_lasts_while_only_empty_writes_fit_on_the_disk(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(changes: Mapping[str, bytes | None], audit: Sequence[bytes] = (), *_: object) -> int:
        if changes or audit:
            raise StoreError("the disk is full: fake")
        return 0

    with controller(tmp_path, datapath, clock) as control, monkeypatch.context() as full:
        full.setattr(control.store, "write", write)
        with pytest.raises(StoreError):
            place(control, ask("203.0.113.7"))
        upkeep(control, clock)
        assert "full" in (control.problem or "")
        full.undo()
        upkeep(control, clock)
        assert control.problem is None
