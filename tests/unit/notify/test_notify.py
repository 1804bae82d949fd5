# SPDX-License-Identifier: GPL-2.0-or-later
"""Notifications: only changes, once, rate-limited, and never blocking anything."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from tests.support.apiclient import Api, running
from tests.support.hooked import OURS, VICTIM, event, say
from tests.support.receivers import Kept
from tests.unit.cli.test_cli import Api as Client
from tests.unit.cli.test_cli import Run, api, run
from xdpctl.config.file import parse
from xdpctl.errors import ConfigError
from xdpctl.lab.waits import eventually
from xdpctl.model.incident import Incident
from xdpctl.notify.changes import News, Severity, Snapshot, last_told, news
from xdpctl.notify.dispatcher import Dispatcher, Target
from xdpctl.notify.message import Message
from xdpctl.notify.senders import by_apprise
from xdpctl.notify.settings import Kind, NotifySettings

__all__ = ["api", "run"]
OPEN = Incident("a", "198.51.100.2/32", 1.0, 2.0, 900.0, detectors=("x",), attacks=("udp_flood",))


def told(before: Snapshot, now: Snapshot) -> list[Kind | None]:
    return [item.kind for item in news(before, now)]


def look(*incidents: Incident, problems: tuple[str, ...] = ()) -> Snapshot:
    return Snapshot({held.id: held for held in incidents}, problems)


def test_only_changes_are_sent() -> None:
    closed = OPEN.replace(closed_at=700.0, closed_by="the detector ended it", peak_pps=5e4)
    louder, other = OPEN.replace(peak_pps=1e4), OPEN.replace(attacks=("udp_flood", "syn_flood"))
    for before, now, wanted in (
        (look(), look(OPEN), [Kind.OPENED]),
        (look(OPEN), look(OPEN), []),
        (look(OPEN), look(other), [Kind.ESCALATED]),
        (look(louder), look(OPEN.replace(peak_pps=1.9e4)), []),
        (look(louder), look(OPEN.replace(peak_pps=2e4)), [Kind.ESCALATED]),
        (look(OPEN), look(closed), [Kind.CLOSED]),
        (look(closed), look(OPEN), [Kind.OPENED]),
        (look(), look(closed), []),
        (look(), look(problems=("the store",)), [Kind.TROUBLE]),
        (look(problems=("the store",)), look(problems=("the store",)), []),
        (look(problems=("the store",)), look(), [Kind.TROUBLE]),
    ):
        assert told(before, now) == wanted
    (item,) = news(look(OPEN), look(closed))
    assert item.title == "UDP flood on 198.51.100.2 is over after 11m 39s"
    assert "xdpctl incident show a" in item.text


def test_a_growing_number_is_sent_when_it_has_doubled() -> None:
    before, found = look(OPEN.replace(peak_pps=1e4)), []
    for peak in (1.3e4, 1.6e4, 1.9e4, 2.1e4, 2.5e4, 4e4, 4.3e4):
        now = look(OPEN.replace(peak_pps=peak))
        found.append(told(before, now))
        before = last_told(before, now)
    assert found == [[], [], [], [Kind.ESCALATED], [], [], [Kind.ESCALATED]]


def sample() -> Message:
    return Message(item(), "edge1", "", "msg_1", 1.7e9)


def item(key: str = "k", kind: Kind = Kind.OPENED) -> News:
    return News(kind, key, f"title {key}", "text")


def settings(*urls: str, **more: Any) -> NotifySettings:
    return NotifySettings(urls, **more)


class Sent:
    """Takes everything, but for the first so many of each URL."""

    def __init__(self, **refusals: int) -> None:
        self.refusals = refusals
        self.texts: list[tuple[str, str]] = []

    def __call__(self, url: str, message: Message) -> bool:
        if self.refusals.get(url, 0) > 0:
            self.refusals[url] -= 1
            return False
        self.texts.append((url, message.text))
        return True


def keeping(settings: NotifySettings) -> tuple[Dispatcher, list[Message]]:
    """A dispatcher, and the messages that it would send."""
    made, kept = Dispatcher(settings, look, "edge1"), Kept()
    made.targets = [kept]
    return made, kept.messages


def sending(
    settings: NotifySettings, look: Callable[[], Snapshot], send: Callable[[str, Message], bool]
) -> Dispatcher:
    """A dispatcher whose URLs lead to `send`."""
    made = Dispatcher(settings, look, "edge1")
    made.targets = [
        Target(target.name, partial(send, url), made._stop)
        for url, target in zip(settings.urls, made.targets, strict=True)
    ]
    return made


def test_the_same_event_is_sent_once_and_only_if_configured() -> None:
    told, messages = keeping(settings("a", on=(Kind.OPENED,)))
    for _ in range(3):
        told.tell(item())
    told.tell(item("other", Kind.CLOSED))
    assert len(messages) == 1


def test_a_failed_message_is_retried_and_not_sent_twice(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("xdpctl.notify.dispatcher._TRIES", (0.0, 0.0, 0.0))
    sent = Sent(b=1, c=9)
    for target in sending(settings("a", "b", "c"), look, sent).targets:
        target.deliver(sample())
    assert [url for url, _ in sent.texts] == ["a", "b"]
    assert "notify.urls[2] did not accept: edge1: title k" in caplog.text


def test_a_target_that_fails_by_a_defect_does_not_keep_others_from_being_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("xdpctl.notify.dispatcher._TRIES", (0.0,))

    def send(url: str, message: Message) -> bool:
        if url == "a":
            raise RuntimeError("https://user:secret@x")
        return True

    told = sending(settings("a", "b"), look, send)
    assert told.test() == {"notify.urls[0]": False, "notify.urls[1]": True}
    assert "notify.urls[0]: sending failed: RuntimeError" in caplog.text
    assert "secret" not in caplog.text


def test_a_target_that_hangs_does_not_delay_another_one() -> None:
    stuck, arrived = threading.Event(), SimpleQueue[str]()

    def send(url: str, message: Message) -> bool:
        if url == "slow":
            return stuck.wait(30)
        arrived.put(message.news.title)
        return True

    told = sending(settings("slow", "quick"), look, send)
    try:
        for n in range(3):
            told.tell(item(str(n)))
        assert [arrived.get(timeout=10) for _ in range(3)] == ["title 0", "title 1", "title 2"]
    finally:
        stuck.set()
        told.stop()


def test_messages_are_limited_per_hour_and_the_next_counts_those_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr("xdpctl.notify.dispatcher._PER_HOUR", 2)
    told, messages = keeping(settings("a"))
    for n in range(5):
        told.tell(item(str(n)))
    assert len(messages) == 2
    clock[0] += 3600
    told.tell(item("later"))
    assert "3 messages before this one were held back" in messages[-1].text


def test_other_settings_are_used_from_then_on() -> None:
    told = Dispatcher(settings(), look, "edge1")
    told.tell(item())
    assert told.targets == []
    told.use(settings("json://x"))
    assert [target.name for target in told.targets] == ["notify.urls[0]"]
    told.use(settings())
    assert told.targets == []


def test_what_waits_for_an_earlier_receiver_is_still_sent_and_then_its_thread_ends() -> None:
    sent = SimpleQueue[str]()

    def send(url: str, message: Message) -> bool:
        sent.put(message.news.title)
        return True

    told = sending(settings("a"), look, send)
    (target,) = told.targets
    told.tell(item())
    told.use(settings())
    assert sent.get(timeout=10) == "title k"
    assert eventually(lambda: target.ended)


def test_nothing_waits_for_a_slow_messenger() -> None:
    stuck, going = threading.Event(), threading.Event()

    def send(url: str, message: Message) -> bool:
        going.set()
        return stuck.wait(30)

    states = iter([look(), look(OPEN)])
    last = [look()]

    def next_look() -> Snapshot:
        last[0] = next(states, last[0])
        return last[0]

    told = sending(settings("a"), next_look, send)
    told.start()
    try:
        assert going.wait(10), "the incident that opened is told"
        began = time.monotonic()
        for n in range(1_000):
            told.tell(item(str(n)))
        assert time.monotonic() - began < 5
    finally:
        stuck.set()
        told.stop()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, 2000, OURS, notify=settings("a")) as box:
        yield box


def test_a_refused_event_of_a_detector_is_sent(box: Api) -> None:
    kept = Kept()
    box.context.dispatcher.targets = [kept]
    say(box, "event", event(sources=["203.0.113.7"]))
    assert kept.messages == []
    say(box, "event", event(sources=[VICTIM]))
    told = kept.messages[0].news
    assert (told.kind, "refused 1 of its requests" in told.title) == (Kind.REFUSED, True)
    assert VICTIM in told.text


def test_an_unknown_url_is_reported_without_its_secrets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert not by_apprise("nosuch://user:secret@host/token", sample())
    assert "secret" not in caplog.text
    assert "token" not in caplog.text


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": []}, "notify.url;"),
        ({"urls": "x"}, "notify.urls"),
        ({"urls": ["x"] * 21}, "at most 20"),
        ({"on": ["everything"]}, r"notify\.on\[1\]: expected one of opened"),
        (7, "notify: expected a table"),
    ],
)
def test_invalid_settings_are_named(given: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse({"notify": given})


def test_valid_settings_are_read() -> None:
    held = parse({"notify": {"urls": ["mailto://x"], "on": ["trouble"]}}).notify
    assert (held.urls, held.on) == (("mailto://x",), (Kind.TROUBLE,))


def test_the_command_line_sends_a_test_message(api: Client, run: Run) -> None:
    for taken, code, said in (
        ({"notify.urls[0]": True, "notify.urls[1]": False}, 1, "urls[1] did not accept it"),
        ({"notify.webhooks[0]": True}, 0, "notify.webhooks[0] accepted it"),
        ({}, 0, "no notifications are sent"),
    ):
        api.answers["POST", "/v1/notifications/test"] = {"taken": taken}
        ended, out, _ = run("notify", "test")
        assert (ended, said in out) == (code, True)


def heard(*looks: Snapshot) -> list[str]:
    """The titles and texts that somebody is told of."""
    herald, messages = keeping(settings("json://x"))
    before = looks[0]
    for now in looks[1:]:
        for item in news(before, now):
            herald.tell(item)
        before = last_told(before, now)
    return [f"{each.title}\n{each.news.text}" for each in messages]


def test_what_ends_and_begins_again_within_the_hour_is_sent_each_time() -> None:
    first = OPEN.replace(closed_at=700.0)
    again = OPEN.replace(closed_at=0.0)
    second = OPEN.replace(closed_at=900.0)
    titles = [
        text.splitlines()[0].partition(" on ")[2].partition(" ")[2].partition(" after")[0]
        for text in heard(look(), look(OPEN), look(first), look(again), look(second))
    ]
    assert titles == ["began", "is over", "began again", "is over"]
    off = look(problems=("the disk is full",))
    assert len(heard(look(), off, look(), off, look())) == 4


def test_a_trouble_that_comes_and_goes_is_over_after_a_minute_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, now = [1000.0], [look()]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    told, messages = keeping(settings("a"))
    told._look = lambda: now[0]
    told._watch(0.0)
    for _ in range(5):
        for problems in (("the disk is full",), ()):
            now[0] = look(problems=problems)
            clock[0] += 20.0
            told._watch(0.0)
        assert len(messages) == 1
    for _ in range(4):
        clock[0] += 20.0
        told._watch(0.0)
    assert [each.news.title for each in messages][1:] == ["recovered"]


def test_each_new_problem_is_sent_even_within_the_hour() -> None:
    off, full, bypass = ("eth0 is detached",), ("the disk is full",), ("everything passes",)
    told = heard(
        look(), look(problems=off), look(problems=off + full), look(), look(problems=bypass)
    )
    assert [text.splitlines()[-1] for text in told] == [
        "eth0 is detached",
        "the disk is full",
        "no open problems",
        "everything passes",
    ]


def test_each_step_of_a_ladder_is_sent() -> None:
    steps = [OPEN.replace(rules_raised=n) for n in range(3)]
    assert len(heard(look(), *map(look, steps))) == 3


def test_notifications_continue_after_any_error() -> None:
    turns, sent = SimpleQueue[str](), SimpleQueue[str]()

    def send(url: str, message: Message) -> bool:
        sent.put(message.news.title)
        raise RuntimeError("a defect of somebody else's")

    def broken() -> Snapshot:
        turns.put("look")
        raise KeyError("a defect")

    herald = sending(settings("json://x"), broken, send)
    herald.start()
    herald.tell(News(Kind.TROUBLE, "first", "first", ""))
    assert sent.get(timeout=10) == "first"
    assert [turns.get(timeout=10) for _ in range(2)] == ["look"] * 2
    herald.stop()


def test_a_trouble_that_lasts_is_told_once_and_its_end_once_it_stays_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [10_000.0]
    monkeypatch.setattr("xdpctl.notify.dispatcher.time.monotonic", lambda: now[0])
    herald, messages = keeping(settings("json://x"))
    full = News(Kind.ESCALATED, "uplink eth0", "uplink eth0 is full", "", lasts=True)
    over = News(Kind.ESCALATED, "uplink eth0", "uplink eth0 is not full any more", "", over=True)
    herald.tell(over)
    assert messages == [], "nobody knows of it"
    for seconds, item in ((0, full), (30, over), (30, full), (7_200, full), (1, over)):
        now[0] += seconds
        herald.tell(item)
        herald._watch(0.0)
    assert [each.title for each in messages] == ["edge1: uplink eth0 is full"], "it comes and goes"
    now[0] += 61
    herald._watch(0.0)
    herald._watch(0.0)
    assert [each.title for each in messages[1:]] == ["edge1: uplink eth0 is not full any more"]
    assert messages[1].news.severity is Severity.SUCCESS
    now[0] += 1
    herald.tell(full)
    assert len(messages) == 3, "it is full again"
