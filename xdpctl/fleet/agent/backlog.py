# SPDX-License-Identifier: GPL-2.0-or-later
"""The changes of a watch that wait to be taken over; what is small overtakes what is large.

A transaction of a few intents is what a person asks for now; a large one is an import. Each intent
is compared with the revision that is known, so intents may be taken over in another order than they
were written. The end of a key, sets and rules of detectors keep their places.
"""

import threading
from collections import Counter, deque
from collections.abc import Collection, Generator
from itertools import groupby
from typing import NamedTuple

from xdpctl.fleet import keys
from xdpctl.fleet.engine.values import Batch, Held
from xdpctl.fleet.engine.watch import Watch
from xdpctl.model.shared import Unsent

FEW = 20  # intents of a transaction that are urgent
_URGENT, _BULK = 500, 1_000  # changes that are taken over at once
_MOST, _BYTES = 100_000, 64 << 20  # that wait; then the engine waits
_SETS = keys.intent("sets/")  # their pieces have to be read first


class Piece(NamedTuple):
    """Changes to take over now, and the revision up to which nothing is left afterwards."""

    changes: list[Held]
    revision: int


class Backlog:
    """What was read and not taken over; one thread adds, and another takes."""

    def __init__(self, after: int) -> None:
        self._urgent, self._bulk = deque[Held](), deque[Held]()
        self._part: list[Held] = []  # of a transaction that is not whole yet
        self._reached, self._bytes, self._turn = after, 0, False

    def __len__(self) -> int:
        return len(self._urgent) + len(self._bulk)

    @property
    def full(self) -> bool:
        return len(self) >= _MOST or self._bytes >= _BYTES

    def add(self, batch: Batch) -> None:
        """Add a batch of a watch."""
        self._part += batch.changes
        transactions = [list(kvs) for _, kvs in groupby(self._part, key=lambda kv: kv.revision)]
        # of the last one, more may follow
        self._part = [] if batch.whole or not transactions else transactions.pop()
        for changes in transactions:
            for kv in changes:
                urgent = _is_urgent(kv, len(changes))
                (self._urgent if urgent else self._bulk).append(kv)
                self._bytes += len(kv.value or b"")
            self._reached = changes[-1].revision
        if batch.whole:
            self._reached = batch.revision

    def _may_go_on(self) -> bool:
        """Whether the next change of the others may be taken: an end never overtakes its put."""
        if not self._bulk or not self._urgent:
            return bool(self._bulk)
        return self._bulk[0].value is not None or (
            self._bulk[0].revision < self._urgent[0].revision
        )

    def take(self) -> Piece:
        """Urgent changes, and others in turn; perhaps none, and only the revision."""
        self._turn = bool(self._urgent) and not (self._turn and self._may_go_on())
        waiting, most = (self._urgent, _URGENT) if self._turn else (self._bulk, _BULK)
        changes = list[Held]()
        while waiting and (len(changes) < most or waiting[0].revision == changes[-1].revision):
            if not self._turn and not self._may_go_on():
                break
            changes.append(waiting.popleft())
        self._bytes -= sum(len(kv.value or b"") for kv in changes)
        heads = [queue[0].revision for queue in (self._urgent, self._bulk) if queue]
        return Piece(changes, min(heads) - 1 if heads else self._reached)


def _is_urgent(kv: Held, together: int) -> bool:
    """Whether a change of a transaction with so many may overtake others."""
    stated = kv.key.startswith(keys.INTENTS) and not kv.key.startswith(_SETS)
    return stated and together <= FEW and kv.value is not None


def urgent(unsent: Collection[tuple[str, Unsent]]) -> list[tuple[str, Unsent]]:
    """The intents to send of small changes."""
    sizes = Counter(entry.change for _, entry in unsent)
    return [item for item in unsent if sizes[item[1].change] <= FEW]


def pieces(watch: Watch, after: int) -> Generator[Piece, None, None]:
    """The changes of a watch after a revision, as they are to be taken over.

    Raises what the watch raises.
    """
    backlog, changed = Backlog(after), threading.Condition()
    ended: list[BaseException] = []
    news = [0]  # batches that were added and not seen

    def read() -> None:
        try:
            for batch in watch:
                with changed:
                    backlog.add(batch)
                    news[0] += batch.whole
                    changed.notify_all()
                    changed.wait_for(lambda: not backlog.full or bool(ended))
        except BaseException as error:  # passed on to the thread that follows
            with changed:
                ended.append(error)
                changed.notify_all()

    threading.Thread(target=read, name="fleet watch", daemon=True).start()
    try:
        while True:
            with changed:
                changed.wait_for(lambda: bool(news[0] or len(backlog) or ended))
                if ended and not len(backlog):
                    raise ended[0]
                news[0] = 0
                piece = backlog.take()
                changed.notify_all()
            yield piece
    finally:
        with changed:
            ended.append(GeneratorExit())
            changed.notify_all()
        watch.cancel()
