# SPDX-License-Identifier: GPL-2.0-or-later
"""Leases of the engine, shared by keys that end at about the same time."""

import threading
import time

from xdpctl.fleet.engine.client import Engine

_AFTER = 120.0  # seconds for which a key outlives what it says: nodes end rules by themselves
_LEAST, _SHARE = 60.0, 16  # width of a bucket in seconds: a part of the time that is left


class Leases:
    """One lease for each bucket of time; a key never ends before it should. For any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._held: dict[tuple[float, int], tuple[int, float]] = {}  # id, and the end (monotonic)

    def until(self, seconds: float) -> int:
        """A lease that lasts at least so many seconds from now."""
        width = max(_LEAST, 2.0 ** int(seconds / _SHARE).bit_length())
        now = time.monotonic()
        bucket = int((now + seconds) // width) + 1
        with self._lock:
            held = self._held.get((width, bucket))
            if held is None or held[1] < now + seconds:
                lasts = bucket * width - now + _AFTER
                held = self._engine.grant(lasts), now + lasts
                self._forget(now)
                self._held[width, bucket] = held
            return held[0]

    def forget(self) -> None:
        """Begin anew: the engine does not know them any more."""
        with self._lock:
            self._held.clear()

    def _forget(self, now: float) -> None:
        self._held = {bucket: held for bucket, held in self._held.items() if held[1] > now}
