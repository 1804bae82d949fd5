"""Something that is done again and again, beside everything else."""

import threading
from collections.abc import Callable


class Beat:
    """Calls `step` in a thread of its own, with so many seconds before each; start it, stop it."""

    def __init__(self, name: str, seconds: float, step: Callable[[], None]) -> None:
        self._seconds, self._step = seconds, step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits for the step that is under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def rest(self, seconds: float) -> None:
        """In a step: wait, but no longer than until the end."""
        self._stop.wait(seconds)

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self._step()
