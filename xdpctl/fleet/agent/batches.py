# SPDX-License-Identifier: GPL-2.0-or-later
"""Changes of a watch that came together, as one: an import is taken over in few transactions."""

import queue
import threading
from collections.abc import Generator

from xdpctl.fleet.engine.client import Watch
from xdpctl.fleet.engine.values import Batch

MOST = 5_000  # changes that are taken over in one transaction
_WAITING = 64  # batches that wait to be taken over; then the engine waits


def together(watch: Watch) -> Generator[Batch, None, None]:
    """What a watch brings, with what has come meanwhile as one; raises what the watch raises."""
    waiting: queue.Queue[Batch | BaseException] = queue.Queue(_WAITING)
    left = threading.Event()

    def put(found: Batch | BaseException) -> None:
        while not left.is_set():
            try:
                return waiting.put(found, timeout=1.0)
            except queue.Full:
                continue  # the engine waits meanwhile

    def read() -> None:
        try:
            for batch in watch:
                put(batch)
        except BaseException as error:  # passed on to the thread that follows
            put(error)

    threading.Thread(target=read, name="fleet watch", daemon=True).start()
    try:
        while True:
            found = waiting.get()
            if isinstance(found, BaseException):
                raise found
            while found.whole and len(found.changes) < MOST and not waiting.empty():
                more = waiting.get()
                if isinstance(more, BaseException):
                    yield found
                    raise more
                found = Batch([*found.changes, *more.changes], more.revision, more.whole)
            yield found
    finally:
        left.set()
        watch.cancel()
