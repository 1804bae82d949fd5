# SPDX-License-Identifier: GPL-2.0-or-later
"""Failures of the store or the kernel, and kills: the whole old set or the whole new one."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
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
from tests.support.setcalls import change, hosts, picture, put, remove, wanted
from xdpctl.abi.constants import Reason
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.datapath.image import Plan
from xdpctl.datapath.writes import PointAllAt
from xdpctl.errors import DatapathError, StoreError
from xdpctl.model.effect import Mode

OLD = ("45.0.0.0/24", "45.0.1.1", "45.0.1.2", "2001:db8::/48", "45.0.2.0/30")
NEW = ("45.0.0.0/25", "45.0.1.1", "45.0.1.3", "2001:db8::/32", "2001:db8::1", "45.0.2.0/31")
SOURCES = [
    parse_prefix(text).address
    for text in ("45.0.0.1", "45.0.0.200", "45.0.1.1", "45.0.1.2", "45.0.1.3", "45.0.2.3")
] + [parse_prefix(text).address for text in ("2001:db8::1", "2001:db8::2", "2001:db8:1::1")]
Change = Callable[[Controller], object]
CHANGES: dict[str, Change] = {
    "new": lambda control: put(control, wanted("new", *NEW)),
    "replaced": lambda control: put(control, wanted("bad", *NEW)),
    "accepted": lambda control: put(control, wanted("bad", *NEW, action="accept", force=True)),
    "watched": lambda control: put(control, wanted("bad", *NEW, mode="monitor")),
    "mode": lambda control: change(control, "bad", mode=Mode.MONITOR),
    "removed": lambda control: remove(control, "bad"),
}


@pytest.fixture
def control(tmp_path: Path, datapath: FakeDatapath, clock: FakeClock) -> Iterator[Controller]:
    with controller(tmp_path, datapath, clock) as running:
        place(running, ask("45.0.0.0/24", "accept", mode="monitor"))
        put(running, wanted("bad", *OLD))
        put(running, wanted("good", "45.0.1.2", "45.0.0.0/24", action="accept"))
        yield running


def verdicts(datapath: FakeDatapath, clock: FakeClock) -> list[Reason]:
    return [datapath.decide(source, clock.ns) for source in SOURCES]


def seen(control: Controller) -> dict[str, Any]:
    """The store without the audit log and without the row that upkeep writes to test the store."""
    found: dict[str, Any] = {**picture(control), "audit": None}
    found["store"].pop("upkeep/probe", None)
    return found


@pytest.mark.parametrize("made", CHANGES.values(), ids=CHANGES)
def test_a_set_that_the_store_refuses_is_not_created(control: Controller, made: Change) -> None:
    assert isinstance(control.store, BreakableStore)
    before = picture(control)
    control.store.broken = True
    with pytest.raises(StoreError):
        made(control)
    control.store.broken = False
    assert picture(control) == before
    made(control)


@pytest.mark.parametrize("made", CHANGES.values(), ids=CHANGES)
def test_a_change_that_the_kernel_refuses_at_any_write_is_undone(
    control: Controller, datapath: FakeDatapath, clock: FakeClock, made: Change
) -> None:
    before, held = seen(control), verdicts(datapath, clock)
    failed = 0
    for writes in range(40):
        datapath.fail_after = writes
        try:
            made(control)
        except DatapathError:
            failed += 1
            after = seen(control)
            assert after.pop("words")[:2] == before["words"][:2]
            assert after == {key: value for key, value in before.items() if key != "words"}
            assert verdicts(datapath, clock) == held
        else:
            break
    assert failed >= (1 if made is CHANGES["mode"] else 4)
    undone = [json.loads(row) for row in control.store.audit() if b"rule.undo" in row]
    assert [record["detail"]["sets"] for record in undone] == [1] * failed
    assert "refused" in undone[0]["detail"]["why"]


@pytest.mark.parametrize("made", CHANGES.values(), ids=CHANGES)
def test_upkeep_undoes_a_change_that_could_not_be_undone_at_once(
    control: Controller, datapath: FakeDatapath, clock: FakeClock, made: Change
) -> None:
    before, held = seen(control), verdicts(datapath, clock)
    datapath.fail_after, datapath.stays_broken = 1 if made is not CHANGES["mode"] else 0, True
    with pytest.raises(DatapathError):
        made(control)
    datapath.fail_after, datapath.stays_broken = None, False
    for _ in range(3):
        upkeep(control, clock)
    after = seen(control)
    assert {**after, "words": 0} == {**before, "words": 0}
    assert verdicts(datapath, clock) == held
    assert control.problem is None


class Killed(Exception):
    """The process is killed at this point."""


class Dying(FakeDatapath):
    """Dies in the middle of a plan, even in the middle of a write of many prefixes."""

    left: int | None = None

    def apply(self, plan: Plan) -> None:
        for write in plan.writes:
            parts = range(len(write.keys)) if isinstance(write, PointAllAt) else [None]
            for at in parts:
                if self.left == 0:
                    raise Killed
                if self.left is not None:
                    self.left -= 1
                one = write
                if isinstance(write, PointAllAt) and at is not None:
                    one = write._replace(keys=write.keys[at : at + 1])
                self.write(one)


Whole = tuple[Change, list[Reason], list[Reason], dict[Prefix, tuple[int, ...]]]


@pytest.fixture(scope="module", params=CHANGES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Make the change without a kill; return the verdicts before and after, and the entries."""
    made, datapath, clock = CHANGES[request.param], FakeDatapath(), FakeClock()
    with controller(tmp_path_factory.mktemp("whole"), datapath, clock) as running:
        put(running, wanted("bad", *OLD))
        before = verdicts(datapath, clock)
        made(running)
        return made, before, verdicts(datapath, clock), datapath.listed()


@pytest.mark.parametrize("steps", [0, 1, 2, 4, 7, 11])
def test_after_a_kill_during_the_kernel_writes_the_next_start_has_the_new_set(
    tmp_path: Path, clock: FakeClock, whole: Whole, steps: int
) -> None:
    made, before, after, expected = whole
    datapath = Dying()
    with controller(tmp_path, datapath, clock) as running:
        put(running, wanted("bad", *OLD))
        datapath.left = steps
        with suppress(Killed):
            made(running)
    for old, new, now in zip(before, after, verdicts(datapath, clock), strict=True):
        assert now in (old, new), "until then everybody has one of both verdicts"
    datapath.left = None
    with controller(tmp_path, datapath, clock):
        assert datapath.listed() == expected
        assert verdicts(datapath, clock) == after


def test_after_a_kill_before_the_store_write_the_next_start_has_the_old_set(
    tmp_path: Path, datapath: FakeDatapath, clock: FakeClock
) -> None:
    with controller(tmp_path, datapath, clock) as running:
        put(running, wanted("bad", *hosts(9)))
        before = seen(running)
        assert isinstance(running.store, BreakableStore)
        running.store.broken = True
        with pytest.raises(StoreError):
            put(running, wanted("bad", *hosts(9, 4)))
    with controller(tmp_path, datapath, clock) as running:
        assert seen(running) == before
