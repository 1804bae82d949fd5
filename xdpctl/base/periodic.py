# SPDX-License-Identifier: GPL-2.0-or-later
"""Something that is done again and again, beside everything else."""

import logging
import threading
import time
from collections.abc import Callable

from xdpctl.errors import XdpctlError

log = logging.getLogger("xdpctl")


class PeriodicTask:
    """Calls `step` with the monotonic clock in a thread of its own: at once, and again `seconds`
    after it was done.

    What goes wrong is logged after the words of `trouble`, once as long as it is the same, and
    `rest` seconds go by before the next step. Start it, stop it.
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
        self._said = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread, which makes the first step at once."""
        self._thread.start()

    def stop(self) -> None:
        """Waits for the step that is under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stop.is_set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._step(time.monotonic())
                self._said = ""
            except Exception as error:
                self._tell(error)
                self._stop.wait(self._rest)
            self._stop.wait(self._seconds)

    def _tell(self, error: Exception) -> None:
        expected = isinstance(error, OSError | XdpctlError)
        if (said := repr(error)) != self._said:
            log.error("%s: %s", self._trouble, error, exc_info=None if expected else error)
        self._said = said
