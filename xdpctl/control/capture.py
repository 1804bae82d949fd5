# SPDX-License-Identifier: GPL-2.0-or-later
"""Captures of live packets with their verdicts, for as long as a client asks for them."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

from xdpctl.abi.constants import Reason, SlotNumber
from xdpctl.abi.structs import Capture
from xdpctl.datapath.port import Datapath
from xdpctl.errors import ConflictError, RuleError

EVERY_MAX, SECONDS_MAX = 1 << 20, 3600.0
_PAUSE_SECONDS = 0.02
_YIELD_SECONDS = 0.5  # how long a new capture waits for a yielding one to end
_capturing = threading.Lock()
_wanted = threading.Event()  # a new capture waits for a yielding one to end


@dataclass(frozen=True, slots=True)
class CaptureAsk:
    """What to capture: one packet in `every` (a power of two) of each of the reasons and each CPU.

    `slot` limits the capture to the packets that this slot decided; SlotNumber.NONE takes all. The
    capture ends after `seconds`, or after `most` packets. RuleError if `every` or `seconds` is out
    of range.
    """

    reasons: frozenset[Reason]
    every: int = 64
    slot: int = SlotNumber.NONE
    seconds: float = 10.0
    most: int = 100_000

    def __post_init__(self) -> None:
        if self.every < 1 or self.every & (self.every - 1) or self.every > EVERY_MAX:
            fix = f"give a power of two from 1 to {EVERY_MAX:,}"
            raise RuleError(f"cannot sample one packet in {self.every}", "every", fix)
        if not 0 < self.seconds <= SECONDS_MAX:
            fix = f"give more than 0 and at most {SECONDS_MAX:g}"
            raise RuleError(f"a capture cannot last {self.seconds:g} seconds", "seconds", fix)


def choose(verdict: str) -> frozenset[Reason]:
    """The reasons selected by `drop`, `pass`, `all`, or a reason's name; RuleError otherwise."""
    found = {reason for reason in Reason if reason is not Reason.NONE}
    if verdict in ("drop", "pass"):
        return frozenset(reason for reason in found if reason.verdict == verdict)
    if verdict == "all":
        return frozenset(found)
    named = [reason for reason in found if reason.name.lower() == verdict]
    if not named:
        names = ", ".join(reason.name.lower() for reason in sorted(found))
        fix = f"write drop, pass, all, or one of {names}"
        raise RuleError(f"{verdict[:40]!r} is not a verdict", "verdict", fix)
    return frozenset(named)


class Capturing:
    """A running capture; iterate over `batches`. Only one capture runs at a time.

    A capture that `yields` ends as soon as another one is requested. ConflictError if another
    capture is running and does not end in time.
    """

    def __init__(self, datapath: Datapath, ask: CaptureAsk, yields: bool = False) -> None:
        if not yields:
            _wanted.set()
        try:
            if not _capturing.acquire(timeout=0 if yields else _YIELD_SECONDS):
                fix = "ask again when it has ended"
                raise ConflictError("another capture is running", "", fix)
        finally:
            if not yields:
                _wanted.clear()
        self._datapath, self._ask, self._yields = datapath, ask, yields
        self._lost_before = datapath.lost()
        self.taken = 0

    @property
    def lost(self) -> int:
        """How many packets the ring buffer had no room for since the capture began."""
        return self._datapath.lost() - self._lost_before

    def batches(self, wanted: Callable[[], bool] = lambda: True) -> Generator[list[Capture]]:
        """Batches of packets, about fifty a second, many of them empty.

        Ends when `wanted` returns False, or when the time or the number of packets is reached.
        """
        ask, until = self._ask, time.monotonic() + self._ask.seconds
        try:
            for _ in self._datapath.captures():
                pass  # left over from an earlier capture
            bits = sum(1 << reason for reason in ask.reasons)
            self._datapath.capture(bits, ask.slot, ask.every - 1)
            while wanted() and self.taken < ask.most and not (self._yields and _wanted.is_set()):
                batch = list(self._limited(self._datapath.captures()))
                self.taken += len(batch)
                yield batch
                if time.monotonic() >= until:
                    return
                time.sleep(_PAUSE_SECONDS)
        finally:
            self._datapath.capture(0, SlotNumber.NONE, 0)
            _capturing.release()

    def _limited(self, captures: Iterable[Capture]) -> Iterator[Capture]:
        for number, capture in enumerate(captures, self.taken):
            if number >= self._ask.most:
                return
            yield capture
