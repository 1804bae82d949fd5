# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages of the engine's keys, each read once for all nodes, and used until one of its keys changes.

A page is what etcd answered at one revision. It is the answer at later ones, too, up to the first
change of a key that it covers.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from xdpctl.fleet import keys
from xdpctl.fleet.engine.calls import pb, span
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.relay.feed import AREAS, Feed

_BYTES_MAX, _PAGES_MAX = 192 << 20, 512
_KEY_MAX, _LIMIT_LEAST = 1 << 10, 40  # bytes of a key, and keys of a page; others are not kept
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


@dataclass(slots=True, eq=False)
class _Page:
    """An answer without its header, serialized; of the keys from `low` up to `high`.

    It is right from the revision `since` up to the one before `until`; 0: it still is.
    """

    asked: _Asked
    low: str
    high: str
    body: bytes
    since: int
    read_at: float
    until: int = 0

    def holds(self, revision: int) -> bool:
        return self.since <= revision and (not self.until or revision < self.until)


class Pages:
    """Answers requests for many keys, with what a `feed` says; usable from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.feed = Feed(engine, self._changed, self._forget)
        self._kept: list[_Page] = []  # in the order in which they were read
        self._current: list[_Page] = []  # those of them that are right now
        self._bytes = 0
        self._reading: dict[_Asked, threading.Lock] = {}

    def covers(self, request: Any) -> bool:
        """Whether a request is for many keys, so that its answer is kept."""
        if len(request.key) > _KEY_MAX or 0 < request.limit < _LIMIT_LEAST:
            return False
        spans = (span(self._engine.prefix + area) for area in AREAS)
        return any(first <= request.key < end == request.range_end for first, end in spans)

    def answer(self, request: Any) -> bytes:
        """A serialized answer to a request that is covered; EngineError."""
        asked = _Asked(request.key, request.range_end, request.limit, request.keys_only)
        if not request.revision and (page := self._recent(asked)):
            return self._whole(page, page.since)
        revision = request.revision or self._revision(asked)
        self.feed.wait(revision, _WAIT_SECONDS)
        page = self._found(asked, revision)
        if page is None:
            with self._lock_of(asked):  # one reads it, and others wait for that
                page = self._found(asked, revision) or self._read(asked, revision)
        return self._whole(page, revision)

    def _plain(self, key: bytes) -> str:
        return key.decode(errors="replace").removeprefix(self._engine.prefix)

    def _recent(self, asked: _Asked) -> _Page | None:
        """A page of what nodes say of themselves, which changes all the time."""
        if not self._plain(asked.first).startswith(keys.NODES):
            return None
        with self.feed.lock:
            newest = max(self._of(asked), key=lambda page: page.since, default=None)
            fresh = newest is not None and time.monotonic() - newest.read_at < _RECENT_SECONDS
            return newest if fresh and self.feed.up else None

    def _of(self, asked: _Asked) -> Iterator[_Page]:
        return (page for page in self._kept if page.asked == asked)

    def _revision(self, asked: _Asked) -> int:
        """The engine's revision now, as a majority has it."""
        request = pb.RangeRequest(key=asked.first, range_end=asked.end, limit=1, keys_only=True)
        return int(self._engine.call("Range", request).header.revision)

    def _found(self, asked: _Asked, revision: int) -> _Page | None:
        with self.feed.lock:
            if self.feed.reached < revision:
                return None  # what changed up to it is not known
            return next((page for page in self._of(asked) if page.holds(revision)), None)

    def _lock_of(self, asked: _Asked) -> threading.Lock:
        with self.feed.lock:
            if len(self._reading) > _PAGES_MAX:
                self._reading.clear()
            return self._reading.setdefault(asked, threading.Lock())

    def _read(self, asked: _Asked, revision: int) -> _Page:
        turn = self.feed.turn
        request = pb.RangeRequest(
            key=asked.first,
            range_end=asked.end,
            limit=asked.limit,
            keys_only=asked.keys_only,
            revision=revision,
        )
        answer = self._engine.call("Range", request, _PAGE_SECONDS)
        last = answer.kvs[-1].key + b"\0" if answer.more else asked.end
        answer.ClearField("header")
        low, high, body = self._plain(asked.first), self._plain(last), answer.SerializeToString()
        page = _Page(asked, low, high, body, revision, time.monotonic())
        with self.feed.lock:
            if turn == self.feed.turn:
                self._keep(page)
        return page

    def _keep(self, page: _Page) -> None:
        """Keep a page if it is known what changed since it was read. The feed's lock is held."""
        until = self.feed.first_change(page.low, page.high, page.since)
        if until is None:
            return
        page.until = until
        self._kept.append(page)
        self._bytes += len(page.body)
        if not until:
            self._current.append(page)
        old = page.read_at - _OLD_SECONDS
        for each in [kept for kept in self._kept if kept.until and kept.read_at < old]:
            self._remove(each)
        while self._bytes > _BYTES_MAX or len(self._kept) > _PAGES_MAX:
            self._remove(self._kept[0])

    def _remove(self, page: _Page) -> None:
        self._kept.remove(page)
        self._bytes -= len(page.body)
        if not page.until:
            self._current.remove(page)

    def _changed(self, key: str, revision: int) -> None:
        """A key changed: the pages that cover it are right up to here. The feed's lock is held."""
        ended = [page for page in self._current if page.low <= key < page.high]
        for page in ended:
            self._current.remove(page)
            page.until = revision

    def _forget(self) -> None:
        """The engine's history is another one now. The feed's lock is held."""
        self._kept.clear()
        self._current.clear()
        self._bytes = 0

    def _whole(self, page: _Page, revision: int) -> bytes:
        header = pb.ResponseHeader(cluster_id=self.feed.cluster, revision=revision)
        return bytes(pb.RangeResponse(header=header).SerializeToString()) + page.body
