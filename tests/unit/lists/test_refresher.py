# SPDX-License-Identifier: GPL-2.0-or-later
"""Refreshing feeds: a new list is fetched when it is due, and a failure keeps the last good one."""

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from tests.support.fakes import BreakableStore, FakeClock, FakeDatapath, controller
from tests.support.setcalls import HIGH, change, hosts, listed, put, remove, texts, wanted
from xdpctl.control.controller import Controller
from xdpctl.errors import ConflictError, FetchError, RuleError, StaleError, StoreError
from xdpctl.lab.waits import eventually
from xdpctl.lists.formats import Feed, read
from xdpctl.lists.refresher import Refresher
from xdpctl.model.effect import Mode
from xdpctl.model.source_set import FeedSource, Options

SOURCE = FeedSource(url="https://feeds.test/", refresh=600.0)
START = 1_700_000_000.0


class Lists:
    """Answers looks in turn: a list, None for an unchanged one, or an error."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[FeedSource] = []
        self.before: Any = None

    def load(self, source: FeedSource) -> tuple[Feed, FeedSource] | None:
        self.asked.append(source)
        if self.before:
            self.before()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            return None
        return read("\n".join(answer).encode()), structs.replace(source, etag=f"v{len(self.asked)}")


@pytest.fixture
def control(tmp_path: Path, datapath: FakeDatapath, clock: FakeClock) -> Iterator[Controller]:
    with controller(tmp_path, datapath, clock) as running:
        yield running


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The refresher's time, set by hand."""
    made = SimpleNamespace(at=START)
    monkeypatch.setattr("xdpctl.lists.refresher.time", SimpleNamespace(time=lambda: made.at))
    return made


def following(control: Controller, *answers: Any, **more: Any) -> tuple[Refresher, Lists]:
    """A refresher, and a set of ten hosts with a feed that it looks after."""
    lists: Any = Lists(*answers)
    put(control, wanted("bad", *hosts(10), feed=SOURCE, **more))
    return Refresher(control, lists), lists


def look(refresher: Refresher, force: bool = False) -> Any:
    return refresher.refresh(refresher.controller.state.sets["bad"], force).changed


def test_a_new_list_replaces_only_the_old_list(
    control: Controller, datapath: FakeDatapath, now: SimpleNamespace
) -> None:
    options = Options(allow_private=True)
    refresher, lists = following(
        control, [*hosts(10, 2), "10.0.0.1"], None, mode="monitor", reason="why", options=options
    )
    changed = look(refresher)
    assert (changed.set.report["added"], changed.set.report["removed"]) == (3, 2)
    assert (changed.set.mode, changed.set.reason) == (Mode.MONITOR, "why")
    assert changed.set.options == options
    assert len(listed(datapath, HIGH)) == 11
    assert changed.set.feed == structs.replace(SOURCE, etag="v1")
    now.at += 600
    assert look(refresher) is None
    assert lists.asked[1].etag == "v1", "so that the server can say it is unchanged"
    record = control.store.audit()[-1]
    assert b'"actor":"feed"' in record.replace(b": ", b":")


def test_an_unchanged_list_writes_nothing(
    control: Controller, datapath: FakeDatapath, now: SimpleNamespace
) -> None:
    refresher, _ = following(control, None)
    before = dict(control.state.sets)
    audit = len(control.store.audit())
    datapath.fail_after = 0
    now.at += 600
    assert look(refresher) is None
    assert control.state.sets == before
    assert len(control.store.audit()) == audit
    tried = refresher.attempt(before["bad"])
    assert (tried.checked_at, tried.next_at, tried.failures) == (START + 600, START + 1200, 0)


def test_a_set_never_refreshed_is_due_when_its_list_is_old(
    control: Controller, now: SimpleNamespace
) -> None:
    refresher, _ = following(control)
    held = control.state.sets["bad"]
    assert refresher.attempt(held).next_at == held.changed_at + 600
    assert refresher.attempt(held).checked_at == 0
    assert refresher.problems() == []


TROUBLE: dict[str, tuple[Any, type[Exception], str]] = {
    "not had": (FetchError("the server answered 404 Not Found"), FetchError, "404"),
    "html": (["<html>", "<p>sorry</p>"], RuleError, "HTML"),
    "empty": ([""], RuleError, "empty"),
    "shrunk": (hosts(4), ConflictError, "has 4 entries"),
    "nonsense": (["rate limited", "try again"], RuleError, "refused"),
    "a defect": (ZeroDivisionError("x"), ZeroDivisionError, "x"),
    "silent": (ZeroDivisionError(), ZeroDivisionError, "ZeroDivisionError()"),
}


@pytest.mark.parametrize("trouble", TROUBLE)
def test_an_error_keeps_the_last_good_list_and_is_reported(
    control: Controller, datapath: FakeDatapath, now: SimpleNamespace, trouble: str
) -> None:
    answer, kind, says = TROUBLE[trouble]
    refresher, _ = following(control, answer, answer, hosts(9))
    before = dict(control.state.sets)
    for often in ("once", "2 times"):
        with pytest.raises(kind):
            look(refresher)
        assert control.state.sets == before
        assert len(listed(datapath, HIGH)) == 10
        (problem,) = refresher.problems()
        assert f"the feed of the set bad failed {often}; the last list stays" in problem
        assert says in problem
    assert look(refresher).set.report["removed"] == 1
    assert refresher.problems() == []
    assert refresher.attempt(before["bad"]).failures == 0


def test_force_accepts_a_list_that_shrank(control: Controller, now: SimpleNamespace) -> None:
    refresher, _ = following(control, hosts(1), hosts(1))
    with pytest.raises(ConflictError):
        look(refresher)
    look(refresher, force=True)
    assert texts(control, "bad") == ["45.0.0.0/32"]


def test_a_failing_store_is_an_error_of_the_feed_too(
    control: Controller, now: SimpleNamespace
) -> None:
    refresher, _ = following(control, hosts(9), hosts(9))
    assert isinstance(control.store, BreakableStore)
    control.store.broken = True
    with pytest.raises(StoreError):
        look(refresher)
    control.store.broken = False
    assert refresher.problems()
    assert len(texts(control, "bad")) == 10
    look(refresher)


def test_retries_back_off_up_to_the_interval_of_the_feed(
    control: Controller, now: SimpleNamespace
) -> None:
    refresher, _ = following(control, *[FetchError("x")] * 30)
    waits = []
    for _ in range(30):
        with pytest.raises(FetchError):
            look(refresher)
        waits.append(refresher.attempt(control.state.sets["bad"]).next_at - now.at)
        now.at += waits[-1]
    assert waits[:4] == [60, 120, 240, 480]
    assert set(waits[4:]) == {600}


def test_a_change_made_during_a_fetch_is_not_undone(
    control: Controller, clock: FakeClock, now: SimpleNamespace
) -> None:
    refresher, lists = following(control, hosts(9), hosts(9))

    def meanwhile() -> None:
        clock.advance(1)
        change(control, "bad", mode=Mode.MONITOR)
        lists.before = None

    lists.before = meanwhile
    with pytest.raises(StaleError):
        look(refresher)
    assert control.state.sets["bad"].mode is Mode.MONITOR
    assert len(texts(control, "bad")) == 10
    assert look(refresher).set.mode is Mode.MONITOR


def test_a_set_removed_during_a_fetch_stays_removed(
    control: Controller, now: SimpleNamespace
) -> None:
    refresher, lists = following(control, hosts(9))
    lists.before = lambda: remove(control, "bad")
    with pytest.raises(StaleError):
        look(refresher)
    assert control.state.sets == {}
    assert refresher.problems() == []


def test_the_refresher_thread_refreshes_due_feeds_and_survives_errors(
    control: Controller, now: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xdpctl.lists.refresher._LOOK_SECONDS", 0.005)
    refresher, lists = following(control, ZeroDivisionError(), FetchError("x"), hosts(9), None)
    put(control, wanted("fixed", "46.0.0.1"))

    def before() -> None:
        now.at += 1000

    lists.before = before
    refresher.start()
    try:
        threading.Event().wait(0.05)
        assert lists.asked == [], "not due yet"
        now.at = START + 601
        assert eventually(lambda: len(texts(control, "bad")) == 9)
    finally:
        refresher.stop()
    assert not refresher._task._thread.is_alive()
    assert texts(control, "fixed") == ["46.0.0.1/32"]
