# SPDX-License-Identifier: GPL-2.0-or-later
"""The background tasks of a process: started in the order they were added, stopped in reverse."""

from typing import Protocol, TypeVar, runtime_checkable


class Part(Protocol):
    """A background task with its own threads."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """Stop the task, and wait until it has stopped."""
        ...


@runtime_checkable
class Warns(Protocol):
    """A part that has something to say in `status`."""

    def warnings(self) -> list[str]:
        """What an operator should know, a sentence each."""
        ...


P = TypeVar("P", bound=Part)


class Parts:
    """Parts that are started, stopped and asked together."""

    def __init__(self) -> None:
        self._all: list[Part] = []

    def add(self, part: P) -> P:
        """Add a part, and return it."""
        self._all.append(part)
        return part

    def start(self) -> None:
        for part in self._all:
            part.start()

    def stop(self) -> None:
        """Stop all parts, the last one first, as it may need those before it."""
        for part in reversed(self._all):
            part.stop()

    def warnings(self) -> list[str]:
        """What the parts have to say, in the order in which they were added."""
        warning_parts = (part for part in self._all if isinstance(part, Warns))
        return [warning for part in warning_parts for warning in part.warnings()]
