# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends notifications, in threads of its own, so that mitigation never waits."""

import logging
import queue
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from functools import partial

from xdpctl.base.periodic import PeriodicTask
from xdpctl.errors import XdpctlError
from xdpctl.notify.changes import News, Snapshot, last_told, news
from xdpctl.notify.message import Message
from xdpctl.notify.senders import by_apprise, by_webhook
from xdpctl.notify.settings import NotifySettings

_LOOK_SECONDS = 1.0
_HOUR = 3600.0
_WAITING_MAX = 200
_PER_HOUR = 30
_TRIES = (0.0, 5.0, 30.0, 120.0)  # seconds before each try
log = logging.getLogger("xdpctl.notify")
Send = Callable[[Message], bool]  # returns whether it was accepted


class Dispatcher:
    """Watches for changes and sends notifications; `tell` never blocks. `look` takes a snapshot.

    `host` names this host in each message, `address` is that of its pages.
    """

    def __init__(
        self, settings: NotifySettings, look: Callable[[], Snapshot], host: str, address: str = ""
    ) -> None:
        self.settings, self._look = settings, look
        self._host, self._address = host, address
        self.targets = _targets(settings)
        self._waiting: queue.Queue[News] = queue.Queue(_WAITING_MAX)
        self._told: dict[str, float] = {}
        self._sent: deque[float] = deque()
        self._held_back = 0
        self._before: Snapshot | None = None
        self._stop = threading.Event()
        trouble = "notifications are not sent"
        self._task = PeriodicTask("notifications", _LOOK_SECONDS, self._watch, trouble)
        self._sender = threading.Thread(target=self._deliver, name="notify sender", daemon=True)

    def start(self) -> None:
        """Start the threads that watch for changes and send."""
        self._task.start()
        self._sender.start()

    def stop(self) -> None:
        """Stop; queued notifications are not sent."""
        self._stop.set()
        self._task.stop()

    def tell(self, item: News) -> None:
        """Queue a notification, unless its kind is off or its key was sent within the last hour."""
        now = time.monotonic()
        if not self.targets or item.kind not in self.settings.on:
            return
        if now - self._told.get(item.key, -_HOUR) < _HOUR:
            return
        self._told = {key: at for key, at in self._told.items() if now - at < _HOUR}
        self._told[item.key] = now
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            log.error("not sent, the queue is full: %s", item.title)

    def test(self) -> dict[str, bool]:
        """Send a test message to each target now; return whether each accepted it."""
        text = "This is a test. Notifications of attacks look like this."
        message = self._message(News(None, "a test", "a test", text))
        return {name: send(message) for name, send in self.targets.items()}

    def _message(self, item: News, held_back: int = 0) -> Message:
        identity = f"msg_{uuid.uuid4().hex}"
        return Message(item, self._host, self._address, identity, time.time(), held_back)

    def _watch(self, _: float) -> None:
        if self._before is None:
            self._before = self._now(Snapshot({}))
            return
        now = self._now(self._before)
        for item in news(self._before, now):
            self.tell(item)
        self._before = last_told(self._before, now)

    def _now(self, before: Snapshot) -> Snapshot:
        try:
            return self._look()
        except XdpctlError as error:
            return Snapshot(before.incidents, (str(error),))

    def _deliver(self) -> None:
        while not self._stop.is_set():
            try:
                item = self._waiting.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            try:
                self.deliver(item)
            except Exception:  # the next notifications must still be sent
                log.exception("not sent because of a defect: %s", item.title)

    def deliver(self, item: News) -> None:
        """Send to each target, with retries; more than 30 an hour are held back."""
        now = time.monotonic()
        while self._sent and self._sent[0] <= now - _HOUR:
            self._sent.popleft()
        if len(self._sent) >= _PER_HOUR:
            self._held_back += 1
            log.warning("not sent, %d were sent within an hour: %s", len(self._sent), item.title)
            return
        self._sent.append(now)
        message, self._held_back = self._message(item, self._held_back), 0
        left = dict(self.targets)
        for pause in _TRIES:
            if self._stop.wait(pause):
                return
            left = {name: send for name, send in left.items() if not send(message)}
            if not left:
                return
        for name in left:
            log.error("%s did not accept: %s", name, item.title)


def _targets(settings: NotifySettings) -> dict[str, Send]:
    """How to send to each target, by the name of its setting."""
    urls = {f"urls[{n}]": partial(by_apprise, url) for n, url in enumerate(settings.urls)}
    hooks = {
        f"webhooks[{n}]": partial(by_webhook, hook) for n, hook in enumerate(settings.webhooks)
    }
    return {f"notify.{name}": send for name, send in (urls | hooks).items()}
