# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends notifications, in threads of its own, so that mitigation never waits."""

import logging
import queue
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from xdpctl.base.periodic import PeriodicTask
from xdpctl.errors import XdpctlError
from xdpctl.notify.changes import WELL, News, Snapshot, last_told, news
from xdpctl.notify.message import Message
from xdpctl.notify.senders import by_apprise, by_webhook
from xdpctl.notify.settings import Kind, NotifySettings

_LOOK_SECONDS = 1.0
_HOUR = 3600.0
_WAITING_MAX = 200
_PER_HOUR = 30
_TRIES = (0.0, 5.0, 30.0, 120.0)  # seconds before each try
_WELL_SECONDS = 60.0  # without a problem, until it is over: before that it comes and goes
log = logging.getLogger("xdpctl.notify")
Send = Callable[[Message], bool]  # returns whether it was accepted


class Target:
    """One receiver, with a thread of its own, so that it delays no other one."""

    def __init__(self, name: str, send: Send, stop: threading.Event) -> None:
        self.name, self.send, self._stop = name, send, stop
        self._waiting: queue.Queue[Message] = queue.Queue(_WAITING_MAX)
        self._thread: threading.Thread | None = None
        self._retired = False

    def retire(self) -> None:
        """End the thread once what is queued was sent: other settings are used."""
        self._retired = True

    @property
    def ended(self) -> bool:
        """Whether its thread has ended."""
        return self._thread is not None and not self._thread.is_alive()

    def put(self, message: Message) -> None:
        """Queue a message."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            log.error("%s: not sent, the queue is full: %s", self.name, message.title)

    def accepts(self, message: Message) -> bool:
        """Send once; whether it was accepted."""
        try:
            return self.send(message)
        except Exception as error:  # of a library; its text may have the URL
            log.error("%s: sending failed: %s", self.name, type(error).__name__)
            return False

    def deliver(self, message: Message) -> None:
        """Send, with retries."""
        for pause in _TRIES:
            if self._stop.wait(pause) or self.accepts(message):
                return
        log.error("%s did not accept: %s", self.name, message.title)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                message = self._waiting.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                if self._retired:
                    return
                continue
            self.deliver(message)


class Dispatcher:
    """Watches for changes and sends notifications; `tell` never blocks. `look` takes a snapshot.

    `host` names this host in each message, `address` is that of its pages; `named` adds names of
    hosts to a title.
    """

    def __init__(
        self,
        settings: NotifySettings,
        look: Callable[[], Snapshot],
        host: str,
        address: str = "",
        named: Callable[[str], str] = str,
    ) -> None:
        self._look, self._host, self._address, self._named = look, host, address, named
        self._told: dict[tuple[Kind | None, str], float] = {}
        # troubles that last and were told, and when each has ended, if it has
        self._lasting: dict[str, tuple[float, News] | None] = {}
        self._sent: deque[float] = deque()
        self._held_back = 0
        self._before: Snapshot | None = None
        self._well_since: float | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.targets = list[Target]()
        self.use(settings)
        trouble = "notifications are not sent"
        self._task = PeriodicTask("notifications", _LOOK_SECONDS, self._watch, trouble)

    def use(self, settings: NotifySettings) -> None:
        """Take other settings; what waits for an earlier target is still sent to it."""
        for target in self.targets:
            target.retire()
        self.settings = settings
        self.targets = [Target(name, send, self._stop) for name, send in _senders(settings).items()]

    def start(self) -> None:
        """Start to watch for changes."""
        self._task.start()

    def stop(self) -> None:
        """Stop; queued notifications are not sent."""
        self._stop.set()
        self._task.stop()

    def tell(self, item: News) -> None:
        """Send a notification, unless its kind is off or its key was sent within the last hour.

        At most 30 are sent within an hour; the next one says how many were held back.
        """
        now = time.monotonic()
        with self._lock:
            if not self.targets or item.kind not in self.settings.on or self._goes_on(item, now):
                return
            again = item.over or item.lasts
            if not again and now - self._told.get((item.kind, item.key), -_HOUR) < _HOUR:
                return
            self._told = {
                key: at
                for key, at in self._told.items()
                if now - at < _HOUR and not (item.over and self._ends(item, key))
            }
            self._told[item.kind, item.key] = now
            message = self._admitted(item, now)
        if message:
            for target in self.targets:
                target.put(message)

    @staticmethod
    def _ends(item: News, key: tuple[Kind | None, str]) -> bool:
        """Whether it ends what was told under a key: all of its kind, or what it is about."""
        return key[0] is item.kind and item.key in (key[1], WELL)

    def _goes_on(self, item: News, now: float) -> bool:
        """Whether nothing is to be said of a trouble that lasts: it is known, or not over yet."""
        if item.lasts:
            known = item.key in self._lasting
            self._lasting[item.key] = None
            return known
        if item.over and item.key != WELL:
            if item.key not in self._lasting:
                return True
            ended = self._lasting[item.key]
            if ended is None or now - ended[0] < _WELL_SECONDS:
                self._lasting[item.key] = ended or (now, item)
                return True
            del self._lasting[item.key]
        return False

    def test(self) -> dict[str, bool]:
        """Send a test message to each target now; return whether each accepted it."""
        text = "This is a test. Notifications of attacks look like this."
        message = self._message(News(None, "a test", "a test", text))
        return {target.name: target.accepts(message) for target in self.targets}

    def _message(self, item: News, held_back: int = 0) -> Message:
        item = replace(item, title=self._named(item.title))
        identity = f"msg_{uuid.uuid4().hex}"
        return Message(item, self._host, self._address, identity, time.time(), held_back)

    def _admitted(self, item: News, now: float) -> Message | None:
        """The message, unless too many were sent within an hour."""
        while self._sent and self._sent[0] <= now - _HOUR:
            self._sent.popleft()
        if len(self._sent) >= _PER_HOUR:
            self._held_back += 1
            log.warning("not sent, %d were sent within an hour: %s", len(self._sent), item.title)
            return None
        self._sent.append(now)
        message, self._held_back = self._message(item, self._held_back), 0
        return message

    def _watch(self, _: float) -> None:
        for ended in list(self._lasting.values()):
            if ended:
                self.tell(ended[1])
        if self._before is None:
            self._before = self._now(Snapshot({}))
            return
        now = self._steady(self._before, self._now(self._before))
        for item in news(self._before, now):
            self.tell(item)
        self._before = last_told(self._before, now)

    def _steady(self, before: Snapshot, now: Snapshot) -> Snapshot:
        """The snapshot with the earlier problems, until there was none for a minute."""
        if now.problems or not before.problems:
            self._well_since = None
            return now
        self._well_since = self._well_since or time.monotonic()
        if time.monotonic() - self._well_since < _WELL_SECONDS:
            return Snapshot(now.incidents, before.problems)
        self._well_since = None
        return now

    def _now(self, before: Snapshot) -> Snapshot:
        try:
            return self._look()
        except XdpctlError as error:
            return Snapshot(before.incidents, (str(error),))


def _senders(settings: NotifySettings) -> dict[str, Send]:
    """How to send to each target, by the name of its setting."""
    urls = {f"urls[{n}]": partial(by_apprise, url) for n, url in enumerate(settings.urls)}
    hooks = {
        f"webhooks[{n}]": partial(by_webhook, hook) for n, hook in enumerate(settings.webhooks)
    }
    return {f"notify.{name}": send for name, send in (urls | hooks).items()}
