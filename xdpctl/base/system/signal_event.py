# SPDX-License-Identifier: GPL-2.0-or-later
"""An event that signal handlers may set."""

import signal
from queue import Empty, SimpleQueue
from typing import Self


class SignalEvent:
    """Like threading.Event, for handlers of signals too.

    A handler runs in the main thread, between two of its instructions. If it interrupts
    `threading.Event.wait` or `set`, the main thread holds the lock that the handler's own `set`
    needs, and the process hangs for ever. A handler may call `SimpleQueue.put` at any time.
    """

    def __init__(self) -> None:
        self._set, self._wake = False, SimpleQueue[None]()

    @classmethod
    def of(cls, *numbers: signal.Signals) -> Self:
        """An event that these signals set; only the main thread may call this."""
        event = cls()
        for number in numbers:
            signal.signal(number, lambda *_: event.set())
        return event

    def set(self) -> None:
        """Set the event, and wake the thread that waits."""
        self._set = True
        self._wake.put(None)

    def is_set(self) -> bool:
        return self._set

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is set, or for `seconds`; True if it is set. Only one thread may wait."""
        if self._set:
            return True
        try:
            self._wake.get(timeout=None if seconds is None else max(seconds, 0.0))
        except Empty:
            return self._set
        return True

    def clear(self) -> None:
        """Reset the event, so that it is not set."""
        self._set = False
        while not self._wake.empty():
            self._wake.get_nowait()
