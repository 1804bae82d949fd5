# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends notifications by Apprise, in threads of its own, so that mitigation never waits."""

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from xdpctl.base.periodic import PeriodicTask
from xdpctl.errors import XdpctlError
from xdpctl.notify.changes import News, Snapshot, last_told, news
from xdpctl.notify.settings import NotifySettings

_LOOK_SECONDS = 1.0
_HOUR = 3600.0
_WAITING_MAX = 200
_PER_HOUR = 30
_TRIES = (0.0, 5.0, 30.0, 120.0)  # seconds before each try
_WHERE_SHOWN = 12
log = logging.getLogger("xdpctl.notify")
Files = tuple[tuple[str, bytes], ...]  # names and contents
Send = Callable[[str, str, str, Files], bool]  # URL, title, text, files; returns: it was accepted


class Dispatcher:
    """Watches for changes and sends notifications; `tell` never blocks. `look` takes a snapshot."""

    def __init__(
        self,
        settings: NotifySettings,
        look: Callable[[], Snapshot],
        send: Send | None = None,
    ) -> None:
        self.settings, self._look = settings, look
        self._send = send or apprise_send
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
        if not self.settings.urls or item.kind not in self.settings.on:
            return
        if now - self._told.get(item.key, -_HOUR) < _HOUR:
            return
        self._told = {key: at for key, at in self._told.items() if now - at < _HOUR}
        self._told[item.key] = now
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            log.error("not sent, the queue is full: %s", item.title)

    def test(self) -> list[bool]:
        """Send a test message to each URL now; return whether each accepted it."""
        text = "This is a test. Notifications of attacks look like this."
        return [self._send(url, "xdpctl: a test", text, ()) for url in self.settings.urls]

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
        """Send to each URL, with retries; more than 30 an hour are held back."""
        now = time.monotonic()
        while self._sent and self._sent[0] <= now - _HOUR:
            self._sent.popleft()
        if len(self._sent) >= _PER_HOUR:
            self._held_back += 1
            log.warning("not sent, %d were sent within an hour: %s", len(self._sent), item.title)
            return
        self._sent.append(now)
        text = item.text
        if self._held_back:
            text += f"\n({self._held_back} messages before this one were held back)"
            self._held_back = 0
        left = list(enumerate(self.settings.urls))
        for pause in _TRIES:
            if self._stop.wait(pause):
                return
            left = [
                (n, url) for n, url in left if not self._send(url, item.title, text, item.files)
            ]
            if not left:
                return
        for number, _ in left:
            log.error("notify.urls[%d] did not accept: %s", number, item.title)


def is_supported(url: str) -> bool:
    """Whether Apprise knows how to use a URL; nothing is sent."""
    import apprise  # late: a large package, which most hosts do not need

    logging.getLogger("apprise").disabled = True  # Apprise logs parts of URLs, which are secrets
    service: Any = apprise.Apprise()
    return bool(service.add(url))


def apprise_send(url: str, title: str, text: str, files: Files = ()) -> bool:
    """Send by Apprise; return whether the service accepted it.

    False for a URL that Apprise does not support. A service that takes no files gets only the text.
    """
    import apprise  # late: a large package, which most hosts do not need
    from apprise.attachment.memory import AttachMemory

    logging.getLogger("apprise").disabled = True  # Apprise logs parts of URLs, which are secrets
    service: Any = apprise.Apprise()
    if not service.add(url):
        log.error("%s… is not a URL that Apprise supports", url[:_WHERE_SHOWN].split("/")[0])
        return False
    attachment: Any = AttachMemory
    attached = [attachment(content=data, name=name) for name, data in files]
    return bool(service.notify(title=title, body=text, attach=attached or None))
