# SPDX-License-Identifier: GPL-2.0-or-later
"""The newest events, as server-sent events (HTML, section 9.2), for any number of readers.

An event is encoded once. A reader only has a place in the list, so a slow reader costs nothing. It
misses events that are forgotten before it reads them.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, NamedTuple

import msgspec

from xdpctl.errors import BusyError

READERS_MAX = 250
OF_ONE_MAX = 32  # readers of one caller: half of the connections that one network may have
KEPT = 1_000


class _Event(NamedTuple):
    number: int
    text: bytes


class Broadcast:
    """Events by number. `publish` is called from any thread, `read` in an event loop."""

    def __init__(self, kept: int = KEPT) -> None:
        self._name = secrets.token_hex(4)  # of this process, whose numbers begin at 1
        self._events: deque[_Event] = deque(maxlen=kept)
        self._last = 0
        self._lock = Lock()
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event, str]] = set()

    def publish(self, kind: str, value: Any) -> None:
        """Add an event, and wake the readers."""
        data = msgspec.json.encode(value)
        with self._lock:
            self._last += 1
            text = b"id: %b-%d\nevent: %b\ndata: %b\n\n" % (
                *(self._name.encode(), self._last, kind.encode(), data),
            )
            self._events.append(_Event(self._last, text))
        self.wake()

    def wake(self) -> None:
        """Wake the readers, so that they notice a stop, or a token that ended."""
        for loop in {loop for loop, _, _ in list(self._waiting)}:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._set, loop)

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        for of, waiting, _ in list(self._waiting):
            if of is loop:
                waiting.set()

    @property
    def readers(self) -> int:
        return len(self._waiting)

    async def read(self, last_id: str = "", who: str = "") -> AsyncIterator[bytes]:
        """The text of the events after `last_id`, then of each new event; without it, of new ones.

        It begins with the event `missed` if some events after `last_id` are forgotten. `wake` makes
        it yield an empty text. BusyError if there are too many readers, or too many of one caller.
        """
        with self._reader(who) as waiting:
            place, missed = self._place(last_id)
            if missed:
                yield b"event: missed\ndata: {}\n\n"
            while True:
                waiting.clear()
                texts, place, missed = self._behind(place)
                if missed:
                    yield b"event: missed\ndata: {}\n\n"
                yield b"".join(texts)
                await waiting.wait()

    @contextmanager
    def _reader(self, who: str) -> Any:
        if sum(of == who for _, _, of in self._waiting) >= OF_ONE_MAX:
            raise BusyError(f"{who} has {OF_ONE_MAX} streams open; close one")
        if len(self._waiting) >= READERS_MAX:
            raise BusyError(f"{READERS_MAX} streams are open; close one, or ask again in a minute")
        waiting = (asyncio.get_running_loop(), asyncio.Event(), who)
        self._waiting.add(waiting)
        try:
            yield waiting[1]
        finally:
            self._waiting.discard(waiting)

    def _place(self, last_id: str) -> tuple[int, bool]:
        """The number after which a reader goes on, and whether it missed events."""
        name, _, number = last_id.partition("-")
        if not last_id:
            return self._last, False
        if name != self._name or not (number.isascii() and number.isdigit() and len(number) < 16):
            return self._last, True
        return min(int(number), self._last), False

    def _behind(self, place: int) -> tuple[list[bytes], int, bool]:
        """The events after a place, the new place, and whether some of them are forgotten."""
        with self._lock:
            events = [event for event in self._events if event.number > place]
            missed = self._last - place > len(events)
            return [event.text for event in events], self._last, missed
