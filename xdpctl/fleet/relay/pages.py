# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages of the engine's keys, each read once for all nodes, and used until one of its keys changes.

A page is what etcd answered at one revision. It is the answer at later ones, too, up to the first
change of a key that it covers.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

from xdpctl.fleet import keys
from xdpctl.fleet.engine.calls import pb
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.relay.feed import AREAS, Feed

_BYTES_MAX = 192 << 20
_WAIT_SECONDS = 0.1  # for the changes up to a revision
_RECENT_SECONDS = 5.0  # for which what nodes say of themselves may be used
_PAGE_SECONDS = 20.0  # for an answer
_OLD_SECONDS = 60.0  # after which nobody reads on at an earlier revision


class _Asked(NamedTuple):
    """What makes two requests the same, whatever their revision."""

    first: bytes
    end: bytes
    limit: int
    keys_only: bool


@dataclass(slots=True)
class _Page:
    """An answer without its header, serialized; of the keys from `low` up to `high`.

    It is right from the revision `since` up to the one before `until`; 0: it still is.
    """

    low: str
    high: str
    body: bytes
    since: int
    read_at: float
    until: int = 0

    def holds(self, revision: int) -> bool:
        return self.since <= revision and (not self.until or revision < self.until)


class Pages:
    """Answers requests for many keys; usable from any thread. `follow` it up with a `Feed`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.feed = Feed(engine, self._changed, self._forget)
        self._kept: dict[tuple[_Asked, int], _Page] = {}
        self._current: dict[_Asked, _Page] = {}  # those that are right now
        self._bytes = 0
        self._reading: dict[_Asked, threading.Lock] = {}
        self.cluster = 0

    def covers(self, request: Any) -> bool:
        """Whether a request is for many keys of which pages are kept."""
        first, end = self._plain(request.key), self._plain(request.range_end)
        return any(area <= first < end <= _end(area) for area in AREAS)

    def answer(self, request: Any) -> bytes:
        """A serialized answer to a request that is covered; EngineError."""
        asked = _Asked(request.key, request.range_end, request.limit, request.keys_only)
        if not request.revision and (page := self._recent(asked)):
            return self._whole(page, page.since)
        revision = request.revision or self._revision(asked)
        followed = self.feed.wait(revision, _WAIT_SECONDS)
        if followed and (page := self._found(asked, revision)):
            return self._whole(page, revision)
        with self._lock_of(asked):
            if followed and (page := self._found(asked, revision)):
                return self._whole(page, revision)
            page = self._read(asked, revision)
        self._keep(asked, page)
        return self._whole(page, revision)

    def _plain(self, key: bytes) -> str:
        prefix = self._engine.prefix
        text = key.decode(errors="replace")
        return text.removeprefix(prefix) if text.startswith(prefix) else ""

    def _recent(self, asked: _Asked) -> _Page | None:
        """A page of what nodes say of themselves, which changes all the time."""
        if not self._plain(asked.first).startswith(keys.NODES):
            return None
        with self.feed.lock:
            pages = [page for (other, _), page in self._kept.items() if other == asked]
            newest = max(pages, key=lambda page: page.since, default=None)
            now = time.monotonic()
            fresh = newest is not None and now - newest.read_at < _RECENT_SECONDS
            return newest if fresh and self.feed.up else None

    def _revision(self, asked: _Asked) -> int:
        """The engine's revision now, as a majority has it."""
        request = pb.RangeRequest(key=asked.first, range_end=asked.end, limit=1, keys_only=True)
        header = self._engine.call("Range", request).header
        self.cluster = int(header.cluster_id)
        return int(header.revision)

    def _found(self, asked: _Asked, revision: int) -> _Page | None:
        with self.feed.lock:
            page = self._current.get(asked)
            if page is not None and page.holds(revision):
                return page
            for (other, _), page in self._kept.items():
                if other == asked and page.holds(revision):
                    return page
        return None

    def _lock_of(self, asked: _Asked) -> threading.Lock:
        with self.feed.lock:
            if len(self._reading) > 1_000:
                self._reading.clear()
            return self._reading.setdefault(asked, threading.Lock())

    def _read(self, asked: _Asked, revision: int) -> _Page:
        request = pb.RangeRequest(
            key=asked.first,
            range_end=asked.end,
            limit=asked.limit,
            keys_only=asked.keys_only,
            revision=revision,
        )
        answer = self._engine.call("Range", request, _PAGE_SECONDS)
        self.cluster = int(answer.header.cluster_id)
        last = answer.kvs[-1].key + b"\0" if answer.more else asked.end
        answer.ClearField("header")
        low, high = self._plain(asked.first), self._plain(last)
        return _Page(low, high, answer.SerializeToString(), revision, time.monotonic())

    def _keep(self, asked: _Asked, page: _Page) -> None:
        with self.feed.lock:
            until = self.feed.first_change(page.low, page.high, page.since)
            if until is None:
                return
            page.until = until
            self._kept[asked, page.since] = page
            self._bytes += len(page.body)
            if not until:
                self._current[asked] = page
            for place, old in list(self._kept.items()):
                ended = old.until and old.read_at < page.read_at - _OLD_SECONDS
                if ended or self._bytes > _BYTES_MAX:
                    self._remove(place)

    def _remove(self, place: tuple[_Asked, int]) -> None:
        page = self._kept.pop(place)
        self._bytes -= len(page.body)
        if self._current.get(place[0]) is page:
            del self._current[place[0]]

    def _changed(self, key: str, revision: int) -> None:
        """A key changed: the pages that cover it are right up to here. The feed's lock is held."""
        for asked, page in list(self._current.items()):
            if page.low <= key < page.high:
                page.until = revision
                del self._current[asked]

    def _forget(self) -> None:
        """The engine's history is another one now. The feed's lock is held."""
        self._kept.clear()
        self._current.clear()
        self._bytes = 0

    def _whole(self, page: _Page, revision: int) -> bytes:
        header = pb.ResponseHeader(cluster_id=self.cluster, revision=revision)
        return bytes(pb.RangeResponse(header=header).SerializeToString()) + page.body


def _end(area: str) -> str:
    return area[:-1] + chr(ord(area[-1]) + 1)
