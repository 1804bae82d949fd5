# SPDX-License-Identifier: GPL-2.0-or-later
"""All changes of the engine, from one watch; the newest are kept for those who follow."""

import logging
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from xdpctl.errors import CompactedError, EngineError
from xdpctl.fleet import keys
from xdpctl.fleet.engine.calls import pb, text_of
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.engine.values import Held

AREAS = (keys.SHARED, keys.NODES)  # below which nodes follow
_HISTORY = 20_000  # revisions before the start that are read, for nodes that were following
_KEPT, _KEPT_BYTES = 100_000, 64 << 20  # changes of an area
_LOST_SECONDS = 3.0  # without the engine, after which nodes are sent elsewhere
_AGAIN_SECONDS, _TICK_SECONDS, _SAY_SECONDS = 0.2, 60.0, 60.0
_DELETED = 1
log = logging.getLogger("xdpctl.fleet")


class Part(NamedTuple):
    """What changed up to a revision, as etcd's events, serialized; none: nothing did."""

    events: Sequence[bytes]
    reached: int


class _Area:
    """The newest changes below a key prefix. `floor`: those after it are all here."""

    def __init__(self, lock: threading.RLock) -> None:
        self.changed = threading.Condition(lock)
        self.floor, self._bytes = 0, 0
        self._revisions: list[int] = []
        self._keys: list[str] = []
        self._events: list[bytes] = []

    def reset(self, floor: int) -> None:
        self.floor, self._bytes = floor, 0
        for each in (self._revisions, self._keys, self._events):
            each.clear()

    def add(self, revision: int, key: str, event: bytes) -> None:
        self._revisions.append(revision)
        self._keys.append(key)
        self._events.append(event)
        self._bytes += len(event)

    def shorten(self) -> None:
        """Forget the older half if there is too much."""
        if len(self._revisions) <= _KEPT and self._bytes <= _KEPT_BYTES:
            return
        half = self._revisions[len(self._revisions) // 2]
        cut = bisect_right(self._revisions, half)
        self.floor = half
        self._bytes -= sum(map(len, self._events[:cut]))
        del self._revisions[:cut], self._keys[:cut], self._events[:cut]

    @property
    def newest(self) -> int:
        return self._revisions[-1] if self._revisions else self.floor

    def after(self, revision: int) -> list[bytes]:
        return self._events[bisect_right(self._revisions, revision) :]

    def first(self, low: str, high: str, revision: int) -> int:
        """The revision of the first change after `revision` of a key from `low` up to `high`."""
        for place in range(bisect_right(self._revisions, revision), len(self._revisions)):
            if low <= self._keys[place] < high:
                return self._revisions[place]
        return 0


class Feed:
    """Follows the engine from `run` until `stopping` is set; usable from any thread.

    `reached` is the revision up to which all changes are known; it is `up` once it has caught up
    with the engine, and until it has lost it for some seconds. `revoked` is set when the list of
    revoked nodes changes. `lock` is held while it grows, and
    `changed` is called then, with each key and its revision. `begun` is called if all that was
    known counts no more; then those who follow are sent away, and begin anew.
    """

    def __init__(
        self, engine: Engine, changed: Callable[[str, int], None], begun: Callable[[], None]
    ) -> None:
        self._engine, self._changed, self._begun = engine, changed, begun
        self.lock, self.stopping = threading.RLock(), threading.Event()
        self._moved = threading.Condition(self.lock)
        self._areas = {area: _Area(self.lock) for area in AREAS}
        self.reached, self.cluster, self._epoch = 0, 0, ""
        self.turn, self._lost_at = 0, time.monotonic()  # a turn ends all that follow
        self.up, self.revoked = False, threading.Event()

    def run(self) -> None:
        """Follow the engine; after an error, try again."""
        said_at = 0.0
        while not self.stopping.is_set():
            try:
                self._follow()
            except CompactedError as error:
                self._begin(error.revision)
                continue
            except EngineError as error:
                if time.monotonic() >= said_at and not self.stopping.is_set():
                    log.warning("the engine is not followed: %s", error)
                    said_at = time.monotonic() + _SAY_SECONDS
            except Exception:
                log.exception("internal error while following the engine; it is tried again")
            self._lost()
            self.stopping.wait(_AGAIN_SECONDS)

    def stop(self) -> None:
        """End `run`, and send away all that follow."""
        self.stopping.set()
        self.send_away()

    def _follow(self) -> None:
        engine = self._engine
        head = engine.snapshot(keys.FLEET)
        if (head.cluster, engine.epoch) != (self.cluster, self._epoch):
            self.cluster, self._epoch = head.cluster, engine.epoch
            self._begin(max(0, head.revision - _HISTORY))
        watch, waits = engine.watch("", self.reached), list[Held]()
        try:
            self._compare(head.revision)
            for batch in watch:
                waits += batch.changes
                if batch.whole:
                    self._take(waits, batch.revision)
                    waits = []
                self._compare(head.revision)
                if engine.epoch != self._epoch:
                    raise EngineError("the engine begins anew")
        finally:
            watch.cancel()

    def _compare(self, revision: int) -> None:
        """Note that the feed has caught up with the engine, if it has."""
        if self.reached >= revision:
            self._lost_at, self.up = 0.0, True

    def _begin(self, revision: int) -> None:
        """Know nothing but what comes after a revision."""
        with self.lock:
            self.reached = revision
            for area in self._areas.values():
                area.reset(revision)
            self._begun()
            self.send_away()

    def _lost(self) -> None:
        now = time.monotonic()
        self._lost_at = self._lost_at or now
        if self.up and now - self._lost_at > _LOST_SECONDS + self._engine.patience:
            self.up = False
            self.send_away()

    def send_away(self) -> None:
        """End all that follow: they use another relay, or come again."""
        with self.lock:
            self.turn += 1
            self.wake()

    def wake(self) -> None:
        """Let all that follow look whether they may."""
        with self.lock:
            for area in self._areas.values():
                area.changed.notify_all()

    def _take(self, changes: Sequence[Held], reached: int) -> None:
        touched = set[str]()
        with self.lock:
            for kv in changes:
                if kv.key == keys.EPOCH:
                    self._engine.epoch = max(self._engine.epoch, text_of(kv.value))
                if kv.key == keys.REVOKED:
                    self.revoked.set()
                self._changed(kv.key, kv.revision)
                for name in AREAS:
                    if kv.key.startswith(name):
                        self._areas[name].add(kv.revision, kv.key, self._event(kv))
                        touched.add(name)
            self.reached = max(self.reached, reached)
            for name in touched:
                self._areas[name].shorten()
                self._areas[name].changed.notify_all()
            self._moved.notify_all()

    def _event(self, kv: Held) -> bytes:
        return event_of(kv, self._engine.prefix)

    def wait(self, revision: int, seconds: float) -> bool:
        """Wait until all changes up to a revision are known; False if they are not in time."""
        with self.lock:
            return self._moved.wait_for(lambda: self.reached >= revision, seconds)

    def first_change(self, low: str, high: str, revision: int) -> int | None:
        """The first change after a revision of a key from `low` up to `high`; 0 for none.

        None if it is not known.
        """
        area = self._areas[next(name for name in AREAS if low.startswith(name))]
        known = area.floor <= revision <= self.reached
        return area.first(low, high, revision) if known else None

    def knows(self, area: str, revision: int) -> bool:
        """Whether all changes of an area after a revision are here."""
        return self.up and self._areas[area].floor <= revision

    def follow(self, area: str, after: int, may: Callable[[], bool]) -> Iterator[Part]:
        """The changes of an area after a revision, and now and then that there were none.

        It ends when `may` is false; EngineError if it cannot go on here.
        """
        kept, turn, said_at = self._areas[area], self.turn, time.monotonic()
        while True:
            with self.lock:
                if kept.newest <= after and may() and turn == self.turn:
                    kept.changed.wait(_TICK_SECONDS)
                if not may():
                    return
                if turn != self.turn or after < kept.floor:
                    raise EngineError("the relay has lost the engine, or what changed")
                part = Part(kept.after(after), max(after, self.reached))
            now = time.monotonic()
            if part.events or now - said_at >= _TICK_SECONDS:
                yield part
                after, said_at = part.reached, now


def event_of(kv: Held, prefix: str) -> bytes:
    """A change as an event of etcd, serialized."""
    value: Any = pb.KeyValue(
        key=(prefix + kv.key).encode(),
        create_revision=kv.created,
        mod_revision=kv.revision,
        value=kv.value or b"",
        lease=kv.lease,
    )
    kind = _DELETED if kv.value is None else 0
    return bytes(pb.Event(type=kind, kv=value).SerializeToString())
