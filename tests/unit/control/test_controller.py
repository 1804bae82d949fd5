# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules, store and kernel stay consistent, with and without failures."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.fakes import (
    DETECTOR,
    HOUR,
    ROOT,
    BreakableStore,
    FakeClock,
    FakeDatapath,
    ask,
    controller,
    place,
    protect,
)
from xdpctl.abi.constants import Action, Reason
from xdpctl.abi.structs import Hits
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.control.operations.rules import add, change, remove
from xdpctl.control.state.shared import Sharing
from xdpctl.control.store.sqlite import SqliteStore
from xdpctl.errors import (
    ConflictError,
    DatapathError,
    NotFoundError,
    RoleError,
    RuleError,
    StaleError,
    StoreError,
    XdpctlError,
)
from xdpctl.model.effect import Mode
from xdpctl.model.names import rule_id
from xdpctl.model.protection import CONFIGURED
from xdpctl.model.rule import OPERATOR

HOST = "203.0.113.7"
HOST_PREFIX = parse_prefix(HOST)


@pytest.fixture
def control(tmp_path: Path, datapath: FakeDatapath, clock: FakeClock) -> Iterator[Controller]:
    with controller(tmp_path, datapath, clock) as running:
        yield running


def stored(tmp_path: Path) -> set[str]:
    """The keys that the store holds on disk."""
    store = SqliteStore(tmp_path / "rules.sqlite")
    keys = {e.key for e in store.watch() if hasattr(e, "key")}
    store.close()
    return keys


def actions(control: Controller) -> list[str]:
    return [json.loads(row)["action"] for row in control.store.audit()]


def test_an_added_rule_is_stored_audited_and_in_the_kernel(
    control: Controller, datapath: FakeDatapath, clock: FakeClock, tmp_path: Path
) -> None:
    added = place(control, ask(HOST, ttl=60.0, reason="flood"))
    assert added.created
    assert not added.warnings
    assert datapath.decide(HOST_PREFIX.address, clock.ns) is Reason.DROPPED
    assert datapath.decide(HOST_PREFIX.address, clock.ns + 60 * 10**9) is Reason.NO_RULE
    assert stored(tmp_path) == {"rules/203.0.113.7_32"}
    assert actions(control) == ["control.start", "rule.add"]
    assert control.state.rules[HOST_PREFIX] == added.rule


def test_the_same_rule_again_extends_it_in_its_slot(
    control: Controller, datapath: FakeDatapath, clock: FakeClock
) -> None:
    place(control, ask(HOST, ttl=60.0, tags=("a",)))
    datapath.hit(HOST_PREFIX, Hits(23, 1481))
    clock.advance(30)
    added = place(control, ask(HOST, ttl=60.0, tags=("b",)))
    assert not added.created
    assert added.rule.tags == ("a", "b")
    assert datapath.held()[f"{HOST}/32"].expires_ns == clock.ns + 60 * 10**9
    assert control.hits(control.state.rules[HOST_PREFIX]) == Hits(23, 1481)
    assert actions(control)[-1] == "rule.extend"


def test_a_contradiction_is_refused_and_an_operator_takes_over(
    control: Controller, datapath: FakeDatapath
) -> None:
    place(control, ask(HOST, ttl=60.0), DETECTOR)
    taken = place(control, ask(HOST, "accept"), ROOT)
    assert "replaced the drop of fastnetmon" in taken.warnings[0]
    assert datapath.held()[f"{HOST}/32"].action == Action.ACCEPT
    for caller in (DETECTOR, ROOT):
        with pytest.raises(ConflictError):
            place(control, ask(HOST, "drop", ttl=60.0), caller)
    assert control.state.rules[HOST_PREFIX].origin == OPERATOR


def test_two_changes_in_one_batch_see_each_other(control: Controller) -> None:
    gate, entered = threading.Event(), threading.Event()

    def wait(draft: object) -> None:
        entered.set()
        gate.wait(10)

    control.submit(wait)
    entered.wait(10)
    futures = [
        control.submit(partial(add, ask=ask(HOST, action), caller=ROOT))
        for action in ("drop", "accept")
    ]
    gate.set()
    assert futures[0].result(10).created
    with pytest.raises(ConflictError):
        futures[1].result(10)


def test_a_removed_rule_is_gone_everywhere_and_its_hits_are_audited(
    control: Controller, datapath: FakeDatapath, tmp_path: Path
) -> None:
    place(control, ask(HOST))
    hits = {"packets": 23, "bytes": 1481}
    control.submit(lambda draft: remove(draft, str(HOST_PREFIX), ROOT, None, hits)).result(10)
    assert not datapath.held()
    assert not stored(tmp_path)
    (last,) = [json.loads(row) for row in control.store.audit()][-1:]
    assert last["action"] == "rule.remove"
    assert last["detail"]["packets"] == 23
    with pytest.raises(NotFoundError):
        control.submit(lambda draft: remove(draft, str(HOST_PREFIX), ROOT, None, {})).result(10)


def test_a_change_checks_the_etag_and_the_owner(
    control: Controller, datapath: FakeDatapath
) -> None:
    seen = place(control, ask(HOST)).rule.etag
    monitor: dict[str, object] = {"mode": Mode.MONITOR}
    control.submit(lambda d: change(d, str(HOST_PREFIX), monitor, ROOT, seen)).result(10)
    assert datapath.held()[f"{HOST}/32"].mode == 1
    with pytest.raises(StaleError):
        control.submit(lambda d: change(d, str(HOST_PREFIX), monitor, ROOT, seen)).result(10)
    with pytest.raises(RoleError):
        control.submit(lambda d: change(d, str(HOST_PREFIX), monitor, DETECTOR, None)).result(10)


@pytest.mark.parametrize("writes_before", [0, 1])
def test_a_change_that_the_kernel_refuses_half_way_is_undone(
    control: Controller, datapath: FakeDatapath, tmp_path: Path, writes_before: int
) -> None:
    place(control, ask("192.0.2.0/24", "accept"))
    tables, slots = datapath.held(), dict(control.state.rules)
    datapath.fail_after = writes_before
    with pytest.raises(DatapathError, match="refused"):
        place(control, ask(HOST))
    assert datapath.held() == tables
    assert control.state.rules.keys() == slots.keys()
    assert stored(tmp_path) == {"rules/192.0.2.0_24"}
    assert actions(control)[-1] == "rule.undo"
    assert place(control, ask(HOST)).created


def test_a_refused_change_in_place_leaves_the_old_rule(
    control: Controller, datapath: FakeDatapath
) -> None:
    place(control, ask(HOST, ttl=60.0))
    before = datapath.held()
    datapath.fail_after = 0
    with pytest.raises(DatapathError):
        place(control, ask(HOST))
    assert datapath.held() == before
    assert control.state.rules[HOST_PREFIX].expires_ns


def test_a_change_that_cannot_be_stored_never_reaches_the_kernel(
    control: Controller, datapath: FakeDatapath
) -> None:
    assert isinstance(control.store, BreakableStore)
    control.store.broken = True
    with pytest.raises(StoreError):
        place(control, ask(HOST))
    assert not datapath.held()
    assert not control.state.rules
    control.store.broken = False
    assert place(control, ask(HOST)).created
    assert actions(control) == ["control.start", "rule.add"]


def test_automatic_drops_are_suspended_while_their_source_is_protected(
    control: Controller, datapath: FakeDatapath, clock: FakeClock
) -> None:
    place(control, ask(HOST, ttl=HOUR), DETECTOR)
    place(control, ask("203.0.113.8"), ROOT)
    control.set_protection(protect({"203.0.113.0/24": CONFIGURED})).result(10)
    assert datapath.decide(HOST_PREFIX.address, clock.ns) is Reason.PROTECTED
    operators = parse_prefix("203.0.113.8").address
    assert datapath.decide(operators, clock.ns) is Reason.DROPPED
    control.set_protection(protect({})).result(10)
    assert datapath.decide(HOST_PREFIX.address, clock.ns) is Reason.DROPPED
    assert actions(control).count("protection.change") == 2


def test_many_threads_get_their_own_answers(tmp_path: Path, clock: FakeClock) -> None:
    datapath = FakeDatapath(capacity=1000)
    with controller(tmp_path, datapath, clock) as control:

        def ask_for(net: int) -> None:
            for host in range(23):
                place(control, ask(f"10.0.{net}.{host}"))

        threads = [threading.Thread(target=ask_for, args=(net,)) for net in range(17)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(datapath.held()) == len(control.state.rules) == 17 * 23
        assert len(set(control.state.image.entries.values())) == 17 * 23
        assert actions(control).count("rule.add") == 17 * 23


def test_after_the_stop_callers_get_an_error(control: Controller) -> None:
    control.stop()
    with pytest.raises(XdpctlError, match="stopping"):
        place(control, ask(HOST))


def test_a_change_to_an_invalid_tag_is_refused(control: Controller) -> None:
    place(control, ask(HOST))
    tags: dict[str, object] = {"tags": ("No Name!",)}
    with pytest.raises(RuleError) as caught:
        control.submit(lambda draft: change(draft, str(HOST_PREFIX), tags, ROOT, None)).result(10)
    assert caught.value.field == "tags"


def test_listeners_are_called_after_the_state_has_changed(control: Controller) -> None:
    """An agent reads the state as soon as it is called, and would miss a later change."""
    heard: list[tuple[str, bool, bool]] = []

    def hear(key: str, ended: bool) -> None:
        heard.append((key, ended, bool(control.state.rules)))

    waits: list[bool] = []
    control.sharing = Sharing(lambda: waits.append(bool(control.state.unsent)), hear)
    request = ask(HOST, ttl=60.0, tags=("event-1",))
    control.submit(lambda draft: add(draft, request, DETECTOR)).result(5)
    gone = partial(remove, rule_id=rule_id(HOST_PREFIX), caller=ROOT, etag=None, hits={})
    control.submit(gone, control.change_by(ROOT)).result(5)
    key = "rules/" + rule_id(HOST_PREFIX)
    assert heard == [(key, False, True), (key, True, False)]
    assert waits == [True]
