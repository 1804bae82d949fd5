# SPDX-License-Identifier: GPL-2.0-or-later
"""Captures of live packets while somebody asks: what they are, and what became of them."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

from xdpctl.abi.structs import Capture, Reason, SlotNumber
from xdpctl.datapath.port import Datapath
from xdpctl.errors import ConflictError, RuleError

EVERY_MAX, SECONDS_MAX = 1 << 20, 3600.0
_PAUSE_SECONDS = 0.02
_YIELD_SECONDS = 0.5  # within which one that steps back has done so
_capturing = threading.Lock()
_wanted = threading.Event()  # somebody waits for one that steps back


@dataclass(frozen=True, slots=True)
class CaptureAsk:
    """Packets of these reasons, one in `every` (a power of two) of each reason and CPU.

    `slot`: only what this slot decided, or SLOT_NONE for all.
    """

    reasons: frozenset[Reason]
    every: int = 64
    slot: int = SlotNumber.NONE
    seconds: float = 10.0
    most: int = 100_000

    def __post_init__(self) -> None:
        if self.every < 1 or self.every & (self.every - 1) or self.every > EVERY_MAX:
            fix = f"give a power of two from 1 to {EVERY_MAX:,}"
            raise RuleError(f"one packet in {self.every}", "every", fix)
        if not 0 < self.seconds <= SECONDS_MAX:
            fix = f"give more than 0 and at most {SECONDS_MAX:g}"
            raise RuleError(f"a capture of {self.seconds:g} seconds", "seconds", fix)


def choose(verdict: str) -> frozenset[Reason]:
    """`drop`, `pass`, `all`, or a reason's name; RuleError for anything else."""
    found = {reason for reason in Reason if reason is not Reason.NONE}
    if verdict in ("drop", "pass"):
        return frozenset(reason for reason in found if reason.verdict == verdict)
    if verdict == "all":
        return frozenset(found)
    named = [reason for reason in found if reason.name.lower() == verdict]
    if not named:
        names = ", ".join(reason.name.lower() for reason in sorted(found))
        fix = f"write drop, pass, all, or one of {names}"
        raise RuleError(f"{verdict[:40]!r} is no verdict", "verdict", fix)
    return frozenset(named)


class Capturing:
    """Iterate over it; it ends by itself, or when `wanted` says no. One at a time.

    One that `yields` ends as soon as another is asked for. `lost` is how many packets there was no
    room for.
    """

    def __init__(self, datapath: Datapath, ask: CaptureAsk, yields: bool = False) -> None:
        if not yields:
            _wanted.set()
        try:
            if not _capturing.acquire(timeout=0 if yields else _YIELD_SECONDS):
                fix = "ask again when it has ended"
                raise ConflictError("another capture is under way", "", fix)
        finally:
            if not yields:
                _wanted.clear()
        self._datapath, self._ask, self._yields = datapath, ask, yields
        self._lost_before = datapath.lost()
        self.taken = 0

    @property
    def lost(self) -> int:
        """Packets for which there was no room since it began."""
        return self._datapath.lost() - self._lost_before

    def batches(self, wanted: Callable[[], bool] = lambda: True) -> Generator[list[Capture]]:
        """What came since the batch before, some fifty times a second; often nothing."""
        ask, until = self._ask, time.monotonic() + self._ask.seconds
        try:
            for _ in self._datapath.captures():
                pass  # left over from an earlier one
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
