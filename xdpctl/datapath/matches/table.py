# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules on matches in the kernel: two generations, one of which is in use."""

import secrets
from collections.abc import Callable, Iterable, Mapping
from threading import Thread
from typing import Any

import numpy as np

from xdpctl.abi.arrays import GENERATION, PAYLOAD, RATE
from xdpctl.abi.constants import Action, Constants, SlotNumber
from xdpctl.abi.sizes import BITMAP_WORDS, BITMAPS_MAX, BUCKET_STRIDE, BUCKETS_LOG2, CLASSES_MAX
from xdpctl.datapath.matches.compile import Tables

MAPS = ("classes", "bitmaps", "generations", "payloads", "rates", "buckets")


def own_bucket(slot: int) -> int:
    """The index of the bucket of a limit that applies to all sources together."""
    return (1 << BUCKETS_LOG2) + (slot - SlotNumber.SIGNATURES) * BUCKET_STRIDE


class _GracePeriod:
    """A grace period that passes in a thread of its own."""

    def __init__(self, grace: Callable[[], None]) -> None:
        self._grace = grace
        self._error: OSError | None = None
        self._thread = Thread(target=self._pass, name="grace", daemon=True)
        self._thread.start()

    def _pass(self) -> None:
        try:
            self._grace()
        except OSError as error:
            self._error = error

    def wait(self) -> None:
        """Wait until it has passed, and its thread has ended; OSError if the kernel refused it."""
        self._thread.join()
        if self._error:
            raise self._error


class MatchTable:
    """The tables in `memory`, which has the writable memory of each map in MAPS.

    `control` is the CONTROL record, which says which generation is in use. `grace` waits until no
    packet still uses data that was read before the call.
    """

    def __init__(self, memory: Mapping[str, Any], control: Any, grace: Callable[[], None]) -> None:
        self._classes = np.frombuffer(memory["classes"], np.uint32)[: 2 * CLASSES_MAX]
        self._bitmaps = np.frombuffer(memory["bitmaps"], np.uint64)[
            : 2 * BITMAPS_MAX * BITMAP_WORDS
        ].reshape(2, BITMAPS_MAX, BITMAP_WORDS)
        self._generations = np.frombuffer(memory["generations"], GENERATION)[:2]
        self._payloads = np.frombuffer(memory["payloads"], PAYLOAD)[
            : 2 * Constants.SIGNATURES_MAX
        ].reshape(2, Constants.SIGNATURES_MAX)
        self._rates = np.frombuffer(memory["rates"], RATE)
        self._buckets = np.frombuffer(memory["buckets"], np.uint64)
        self._control = control
        self._grace = grace
        # begun when the inactive generation was replaced: afterwards no packet uses it
        self._settling: _GracePeriod | None = None

    def rate(self, slot: int) -> Any:
        """The RATE record of a limit's slot."""
        return self._rates[slot - SlotNumber.SIGNATURES]

    def unpaced(self, records: Mapping[int, Any]) -> list[int]:
        """The slots that do not have these RATE records of limits, apart from the salt."""
        slots = np.fromiter(records, np.int64, len(records))
        wanted, current = np.zeros(len(slots), RATE), self._rates[slots - SlotNumber.SIGNATURES]
        for place, record in enumerate(records.values()):
            wanted[place] = record
        wanted["salt"] = current["salt"]
        unpaced: list[int] = slots[wanted != current].tolist()
        return unpaced

    def put_rate(self, slot: int, record: Any, in_use: bool = False) -> None:
        """Set the RATE record of a limit, and start with empty buckets.

        `in_use`: packets may read the record while it is written, and so see a part of the change.
        This has no lasting effect, since the new salt, written last, gives the limit new buckets.
        """
        number = slot - SlotNumber.SIGNATURES
        fresh = record.copy()
        fresh["salt"] = self._rates[number]["salt"]
        self._rates[number] = fresh
        if in_use:
            self._grace()
        self._rates[number]["salt"] = secrets.randbits(32)
        self._buckets[own_bucket(slot)] = 0

    @property
    def armed(self) -> bool:
        """Whether any rules are in use."""
        return bool(self._control["armed"])

    def challenge(self, actions: Iterable[Action]) -> None:
        """Set which challenges are in use; without any, the program does not look for them."""
        self._control["challenging"] = sum(1 << action for action in {*actions})

    def wait_for_packets(self) -> None:
        """Wait until no packet uses the generation that the last install() replaced."""
        settling, self._settling = self._settling or _GracePeriod(self._grace), None
        settling.wait()
        self._settling = settling

    def install(self, tables: Tables) -> None:
        """Write a generation and switch to it atomically: the next packet uses it.

        A grace period begins at once, so that the next call need not wait for a whole one.
        """
        self.wait_for_packets()
        self._settling = None
        number = 0 if self._control["armed"] == 2 else 1
        first = number * CLASSES_MAX
        self._classes[first : first + len(tables.classes)] = tables.classes
        self._bitmaps[number, : len(tables.bitmaps)] = tables.bitmaps
        self._payloads[number, : len(tables.payloads)] = tables.payloads
        self._generations[number] = tables.generation
        self._control["armed"] = 0 if tables.empty else number + 1
        self._settling = _GracePeriod(self._grace)

    def holds(self, tables: Tables) -> bool:
        """Whether the generation in use is equal to these tables."""
        armed = int(self._control["armed"])
        if tables.empty or not armed:
            return tables.empty and not armed
        number, first = armed - 1, (armed - 1) * CLASSES_MAX
        return (
            bool(self._generations[number] == tables.generation)
            and np.array_equal(self._classes[first : first + len(tables.classes)], tables.classes)
            and np.array_equal(self._bitmaps[number, : len(tables.bitmaps)], tables.bitmaps)
            and np.array_equal(self._payloads[number, : len(tables.payloads)], tables.payloads)
        )
