# SPDX-License-Identifier: GPL-2.0-or-later
"""Gets news to people by Apprise, beside everything else: no mitigation ever waits for it."""

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
_TRIES = (0.0, 5.0, 30.0, 120.0)  # seconds before each
_WHERE_SHOWN = 12
log = logging.getLogger("xdpctl.notify")
Send = Callable[[str, str, str], bool]  # URL, title, text; whether it was taken


class Dispatcher:
    """Start it, stop it; `tell` never waits. `look` says how it stands."""

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
        self._beat = PeriodicTask("herald", _LOOK_SECONDS, self._watch, trouble)
        self._messenger = threading.Thread(target=self._deliver, name="messenger", daemon=True)

    def start(self) -> None:
        """Begin to watch and to send, in threads of their own."""
        self._beat.start()
        self._messenger.start()

    def stop(self) -> None:
        """What waits is left untold: it is in the records."""
        self._stop.set()
        self._beat.stop()

    def tell(self, item: News) -> None:
        """Unless nobody is to be told of this kind, or was told the same within the hour."""
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
            log.error("not told, since too much waits: %s", item.title)

    def test(self) -> list[bool]:
        """One message to each URL now; whether each was taken."""
        text = "A test: this is how xdpctl tells of an attack."
        return [self._send(url, "xdpctl: a test", text) for url in self.settings.urls]

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
            except Exception:  # the next one is told all the same
                log.exception("not told, by a defect: %s", item.title)

    def deliver(self, item: News) -> None:
        """To each URL, again and again for a while if it is not taken."""
        now = time.monotonic()
        while self._sent and self._sent[0] <= now - _HOUR:
            self._sent.popleft()
        if len(self._sent) >= self.settings.per_hour:
            self._held_back += 1
            log.warning("not told, %d an hour were: %s", len(self._sent), item.title)
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
            left = [(n, url) for n, url in left if not self._send(url, item.title, text)]
            if not left:
                return
        for number, _ in left:
            log.error("notify.urls[%d] took nothing: %s", number, item.title)


def apprise_send(url: str, title: str, text: str) -> bool:
    """Send by Apprise; whether it was taken. False for a URL that Apprise does not know."""
    import apprise  # a large package that most never need

    logging.getLogger("apprise").disabled = True  # it writes parts of URLs, which are secrets
    service: Any = apprise.Apprise()
    if not service.add(url):
        log.error("%s… is no URL that Apprise knows", url[:_WHERE_SHOWN].split("/")[0])
        return False
    return bool(service.notify(title=title, body=text))
