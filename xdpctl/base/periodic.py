# SPDX-License-Identifier: GPL-2.0-or-later
"""A task that runs periodically in a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Self

from xdpctl.errors import XdpctlError

log = logging.getLogger("xdpctl")


class PeriodicTask:
    """Call `step` with the monotonic time in a thread: at once, and again `seconds` after each
    call returns.

    An exception is logged with the prefix `trouble`, but not again if the next one is the same;
    `problem` has its text until a step succeeds. After an exception the task waits `rest` seconds
    longer. Call `start`, and later `stop`, or use it as a context manager; `wake` makes it call
    `step` now.
    """

    def __init__(
        self,
        name: str,
        seconds: float,
        step: Callable[[float], object],
        trouble: str,
        rest: float = 0.0,
    ) -> None:
        self._seconds, self._step, self._trouble, self._rest = seconds, step, trouble, rest
        self._last_error = self.problem = ""
        self._stop, self._due = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread, which calls `step` at once."""
        self._thread.start()

    def wake(self) -> None:
        """Call `step` now; if it is running, call it once more afterwards."""
        self._due.set()

    def stop(self) -> None:
        """End the thread, and wait until the running step is done."""
        self._stop.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._step(time.monotonic())
                self._last_error = self.problem = ""
            except Exception as error:
                self._log_once(error)
                self._stop.wait(self._rest)
            self._due.wait(self._seconds)
            self._due.clear()

    def _log_once(self, error: Exception) -> None:
        expected = isinstance(error, OSError | XdpctlError)
        if (description := repr(error)) != self._last_error:
            log.error("%s: %s", self._trouble, error, exc_info=None if expected else error)
        self._last_error, self.problem = description, str(error) or description
