# SPDX-License-Identifier: GPL-2.0-or-later
"""The port to the durable store of records and of the audit log.

`write` is durable when it returns. `watch` returns the changes since a cursor, or a snapshot. The
controller learns of changes from `watch` only, so a start after a crash runs the same code.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Cursor:
    """A watcher's position: a `revision` within the history named `epoch`."""

    epoch: str
    revision: int


class KeyChange(NamedTuple):
    """The new value of a key; None: it was deleted. `damaged`: it is not what was written."""

    key: str
    value: bytes | None
    revision: int
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """The cursor is not known; the changes that follow, up to Synced, are a complete snapshot."""


@dataclass(frozen=True, slots=True)
class Synced:
    """The watcher has received everything up to this cursor."""

    cursor: Cursor


class ChangeStep(NamedTuple):
    """A step of a change that can be undone: its number, its summary (JSON), and its parts."""

    number: int
    summary: bytes
    parts: bytes


class Store(Protocol):
    """The interface of a store. A method that fails raises StoreError, and changes nothing.

    `failures` counts the failures.
    """

    failures: int

    def write(
        self,
        changes: Mapping[str, bytes | None],
        audit: Sequence[bytes] = (),
        steps: Sequence[ChangeStep] = (),
    ) -> int:
        """Write all changes, audit records and steps durably, or none; return the new revision."""
        ...

    def last_change(self) -> int:
        """The highest number of a change that was ever stored; 0 if there is none."""
        ...

    def summaries(self, before: int, limit: int) -> list[tuple[int, bytes]]:
        """Number and summary of each step of at most `limit` changes below `before`.

        The newest change comes first.
        """
        ...

    def parts(self, number: int) -> list[bytes]:
        """The parts of a change, step by step; none if it is not known."""
        ...

    def forget_last_steps(self, count: int) -> None:
        """Drop the newest steps: what they changed was taken back."""
        ...

    def trim_changes(self, most: int, most_bytes: int) -> int:
        """Drop the oldest changes beyond either bound; return how many changes went."""
        ...

    def watch(self, since: Cursor | None = None) -> Iterator[KeyChange | Reset | Synced]:
        """The changes after `since`, then Synced; Reset comes first if `since` is not known."""
        ...

    def audit(self, after: int = 0, limit: int = 1000) -> list[bytes]:
        """Audit records with a sequence number above `after`, in order."""
        ...

    def last_audit(self) -> bytes | None:
        """The newest audit record; None if there is none."""
        ...

    def pristine(self) -> bool:
        """Whether no record was ever written, counting deleted ones."""
        ...

    def audit_size(self) -> tuple[int, int]:
        """The number of audit records, and their size in bytes."""
        ...

    def forget_audit(self, upto: int, changes: Mapping[str, bytes | None]) -> None:
        """Delete audit records up to a sequence number and write `changes`, in one transaction."""
        ...
