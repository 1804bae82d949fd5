# SPDX-License-Identifier: GPL-2.0-or-later
"""A watch of the engine: what changes below a prefix, in batches."""

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from xdpctl.errors import CompactedError, EngineError
from xdpctl.fleet.engine.values import Batch

if TYPE_CHECKING:
    from xdpctl.fleet.engine.client import Engine


class Watch:
    """The changes below a prefix, as they come; `cancel` ends it, from any thread."""

    def __init__(self, engine: "Engine", turn: int, ended: threading.Event, call: Any) -> None:
        self._engine, self._turn, self._ended, self._call = engine, turn, ended, call

    def cancel(self) -> None:
        self._ended.set()
        self._call.cancel()

    def __iter__(self) -> Iterator[Batch]:
        """Changes that came together.

        CompactedError if the engine does not keep them any more; EngineError if the watch ends.
        """
        engine, turn = self._engine, self._turn
        try:
            with engine.connection.failing(turn):
                for answer in self._call:
                    if answer.compact_revision:
                        lost = int(answer.compact_revision)
                        raise CompactedError(f"compacted up to {lost}", lost)
                    if answer.canceled:
                        engine.turn_away(turn)
                        raise EngineError(f"the watch was ended: {answer.cancel_reason}")
                    if answer.created:
                        continue  # this answer has the newest revision, but older changes follow
                    changes = [engine._changed(event) for event in answer.events]
                    # without changes it is a notice of progress, up to the engine's revision
                    reached = changes[-1].revision if changes else int(answer.header.revision)
                    yield Batch(changes, reached, not answer.fragment)
        finally:
            self.cancel()
        raise EngineError("the watch ended")
