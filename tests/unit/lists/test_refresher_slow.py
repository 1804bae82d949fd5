# SPDX-License-Identifier: GPL-2.0-or-later
"""Refreshing slow feeds, and the requests of a refresh."""

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from tests.support.fakes import FakeClock, ask, place
from tests.support.setcalls import change, hosts, put, texts, wanted
from tests.unit.lists.test_refresher import SOURCE, START, control, following, look, now
from xdpctl.control.controller import Controller
from xdpctl.errors import BusyError
from xdpctl.lab.waits import eventually
from xdpctl.lists.formats import Feed, read
from xdpctl.lists.refresher import _HANDS, Refresher
from xdpctl.model.source_set import FeedSource, Options

__all__ = ["control", "now"]  # the fixtures


class Servers:
    """By URL: some hang until they are let go, all then answer nine hosts."""

    def __init__(self, *slow: str) -> None:
        self.slow, self.go = set(slow), threading.Event()
        self.asked: list[str] = []
        self.all_in = threading.Semaphore(0)

    def load(self, source: FeedSource) -> tuple[Feed, FeedSource]:
        self.asked.append(source.url)
        if source.url in self.slow:
            self.all_in.release()
            assert self.go.wait()
        return read("\n".join(hosts(9)).encode()), structs.replace(source, etag="new")


@pytest.fixture
def timed(
    control: Controller, now: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[Refresher, Servers]]]:
    """A refresher at work on overdue sets of these names, of which some hang."""
    monkeypatch.setattr("xdpctl.lists.refresher._LOOK_SECONDS", 0.005)
    made: list[tuple[Refresher, Servers]] = []

    def start(names: list[str], slow: list[str]) -> tuple[Refresher, Servers]:
        servers: Any = Servers(*slow)
        for name in names:
            put(control, wanted(name, *hosts(10), feed=FeedSource(url=name, refresh=600.0)))
        now.at = START + 601
        refresher = Refresher(control, servers)
        refresher.start()
        made.append((refresher, servers))
        return refresher, servers

    yield start
    for refresher, servers in made:
        servers.go.set()
        refresher.stop()


def test_a_dripping_server_delays_no_other_feed(control: Controller, timed: Any) -> None:
    names = ["a-drips", "b", "c", "d", "e", "f"]
    refresher, servers = timed(names, ["a-drips"])
    assert eventually(lambda: all(len(texts(control, name)) == 9 for name in names[1:]))
    assert len(texts(control, "a-drips")) == 10
    assert servers.asked.count("a-drips") == 1
    assert refresher.problems() == []
    servers.go.set()
    assert eventually(lambda: len(texts(control, "a-drips")) == 9)


def test_a_few_feeds_are_fetched_at_once_and_the_next_when_one_is_done(
    control: Controller, timed: Any
) -> None:
    names = [f"s{n}" for n in range(7)]
    _, servers = timed(names, names)
    for _ in range(_HANDS):
        assert servers.all_in.acquire(timeout=10)
    assert not servers.all_in.acquire(timeout=0.1)
    servers.go.set()
    assert eventually(lambda: all(len(texts(control, name)) == 9 for name in names))
    assert sorted(servers.asked) == names


def test_a_stop_does_not_wait_for_any_server(control: Controller, timed: Any) -> None:
    refresher, servers = timed(["a"], ["a"])
    assert servers.all_in.acquire(timeout=10)
    refresher.stop()
    assert not refresher._task._thread.is_alive()
    assert not servers.go.is_set()


def test_a_feed_being_fetched_is_not_fetched_again(
    control: Controller, now: SimpleNamespace
) -> None:
    refresher, lists = following(control, None)
    refused: list[BusyError] = []

    def meanwhile() -> None:
        with pytest.raises(BusyError, match="the feed of the set bad is being refreshed") as told:
            look(refresher)
        refused.append(told.value)

    lists.before = meanwhile
    assert look(refresher) is None
    assert len(refused) == len(lists.asked) == 1
    assert refresher.problems() == [], "that is no trouble of the feed"


def test_an_equal_list_with_another_version_is_not_fetched_whole_again(
    control: Controller, clock: FakeClock, now: SimpleNamespace
) -> None:
    refresher, lists = following(control, hosts(10), None)
    before, audit = control.state.sets["bad"], len(control.store.audit())
    clock.advance(1)
    assert look(refresher) is None
    held = control.state.sets["bad"]
    assert held == before.replace(feed=structs.replace(SOURCE, etag="v1"))
    assert len(control.store.audit()) == audit
    assert look(refresher) is None
    assert lists.asked[1].etag == "v1"


def test_the_version_of_a_feed_removed_meanwhile_is_not_stored(
    control: Controller, now: SimpleNamespace
) -> None:
    refresher, lists = following(control, hosts(10))
    lists.before = lambda: change(control, "bad", feed=None)
    assert look(refresher) is None
    assert control.state.sets["bad"].feed is None


@pytest.mark.parametrize(
    "options", [Options(widen_ipv4=24), Options(at_most=1), Options(aggregate=True)]
)
def test_a_merged_list_is_prepared_anew_at_every_refresh(
    control: Controller, now: SimpleNamespace, options: Options
) -> None:
    refresher, lists = following(control, hosts(10), hosts(10), options=options)
    look(refresher, force=True)
    merged = texts(control, "bad")
    place(control, ask("45.0.0.0/31", "accept"))
    changed = look(refresher, force=True)
    assert [source.etag for source in lists.asked] == ["", ""], "or the server says: as before"
    if not options.aggregate:
        assert changed, "nothing is widened over what is accepted since"
        assert texts(control, "bad") != merged


def test_a_refresh_reports_the_refused_lines(control: Controller, now: SimpleNamespace) -> None:
    refresher, _ = following(control, [*hosts(9), "nonsense"], [*hosts(9), "nonsense"], None)
    held = control.state.sets["bad"]
    assert [reject["line"] for reject in refresher.refresh(held).rejects] == [10]
    held = control.state.sets["bad"]
    found = refresher.refresh(held)
    assert (found.changed, len(found.rejects)) == (None, 1)
    assert refresher.refresh(control.state.sets["bad"]).rejects == []


def test_the_time_of_the_last_good_refresh_is_known(
    control: Controller, now: SimpleNamespace
) -> None:
    refresher, _ = following(control, None, ZeroDivisionError())
    held = control.state.sets["bad"]
    assert refresher.attempt(held).good_at == held.changed_at, "its list came from somewhere"
    now.at += 600
    look(refresher)
    now.at += 600
    with pytest.raises(ZeroDivisionError):
        look(refresher)
    assert refresher.attempt(held).good_at == START + 600
