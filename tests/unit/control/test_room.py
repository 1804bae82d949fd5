# SPDX-License-Identifier: GPL-2.0-or-later
"""Capacity: the table, an origin's quota, and the use by expired and suspended rules."""

import json
from pathlib import Path

import pytest

from tests.support.fakes import (
    DETECTOR,
    ROOT,
    FakeClock,
    FakeDatapath,
    ask,
    controller,
    place,
    protect,
    upkeep,
)
from xdpctl.abi.constants import Reason
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.operations.bulk import add_many
from xdpctl.control.operations.rules import remove
from xdpctl.errors import CapacityError, DatapathError, QuotaError
from xdpctl.model.protection import CONFIGURED
from xdpctl.model.quota import Quota

HOST = parse_prefix("203.0.113.7")


def test_the_table_takes_exactly_its_capacity_and_again_after_expiry(
    tmp_path: Path, clock: FakeClock
) -> None:
    datapath = FakeDatapath(capacity=5)
    with controller(tmp_path, datapath, clock) as control:
        for number in range(5):
            place(control, ask(f"192.0.2.{number}", ttl=60.0))
        before = datapath.held()
        with pytest.raises(CapacityError, match="5 rules"):
            place(control, ask("192.0.2.99"))
        assert datapath.held() == before
        assert not place(control, ask("192.0.2.0", ttl=60.0)).created
        clock.advance(61)
        assert place(control, ask("192.0.2.99")).created
        assert datapath.held().keys() == {"192.0.2.99/32"}
        (expired,) = [row for row in control.store.audit() if b'"rule.expire"' in row]
        detail = json.loads(expired)["detail"]
        assert detail["rules"] == len(detail["ids"]) == 5


def test_an_import_into_a_full_table_uses_the_room_of_expired_rules(
    tmp_path: Path, clock: FakeClock
) -> None:
    with controller(tmp_path, FakeDatapath(capacity=1), clock) as control:
        place(control, ask("203.0.113.7", ttl=1.0))
        clock.advance(1.5)
        asks = [(1, "10.0.0.1", ask("10.0.0.1"))]
        done = control.submit(lambda draft: add_many(draft, asks, ROOT, "bulk")).result(10)
        assert (done.added, done.rejected) == (1, 0)


def test_expired_rules_count_against_no_quota(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    with controller(tmp_path, datapath, clock, quotas={"fastnetmon": Quota(1)}) as control:
        place(control, ask("10.0.0.1", ttl=1.0), DETECTOR)
        with pytest.raises(QuotaError):
            place(control, ask("10.0.0.2", ttl=1.0), DETECTOR)
        clock.advance(1.5)
        assert place(control, ask("10.0.0.2", ttl=1.0), DETECTOR).created


def test_a_caller_gets_an_answer_if_the_kernel_refuses_right_after_the_sweep(
    tmp_path: Path, clock: FakeClock
) -> None:
    datapath = FakeDatapath(capacity=1)
    with controller(tmp_path, datapath, clock) as control:
        place(control, ask("203.0.113.7", ttl=1.0))
        clock.advance(2)
        datapath.fail_after = 1  # the sweep's one write passes
        with pytest.raises(DatapathError):
            place(control, ask("10.0.0.1"))
        assert place(control, ask("10.0.0.1")).created


def test_a_suspended_rule_keeps_its_room_for_when_it_comes_back(
    tmp_path: Path, clock: FakeClock
) -> None:
    datapath = FakeDatapath(capacity=2)
    with controller(tmp_path, datapath, clock) as control:
        place(control, ask("203.0.113.7", ttl=600.0), DETECTOR)
        place(control, ask("10.0.0.1"))
        control.set_protection(protect({"203.0.113.7/32": CONFIGURED})).result(10)
        with pytest.raises(CapacityError):
            place(control, ask("10.0.0.2"))
        control.submit(lambda draft: remove(draft, "10.0.0.1_32", ROOT, None, {})).result(10)
        assert place(control, ask("10.0.0.2")).created
        control.set_protection(protect({})).result(10)
        upkeep(control, clock)
        assert datapath.decide(HOST.address, clock.ns) is Reason.DROPPED


def test_a_list_cannot_drop_a_large_part_of_the_internet(tmp_path: Path) -> None:
    wide = [(n, text, ask(text)) for n, text in enumerate(("0.0.0.0/0", "11.0.0.0/8", "::/0"), 1)]
    with controller(tmp_path, FakeDatapath(), FakeClock()) as control:
        done = control.submit(lambda draft: add_many(draft, wide, ROOT, "bulk")).result(10)
        assert [reject["line"] for reject in done.rejects] == [1, 3]
        assert {str(source) for source in control.state.rules} == {"11.0.0.0/8"}
