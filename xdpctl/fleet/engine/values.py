# SPDX-License-Identifier: GPL-2.0-or-later
"""What is read from the engine and written to it. Values only."""

from dataclasses import dataclass
from typing import NamedTuple


class Held(NamedTuple):
    """A key of the engine with its value; None if it is not there.

    `revision` and `created` are those of the last change and of the creation. `lease` is the id of
    the lease with which the key ends; 0 for none.
    """

    key: str
    value: bytes | None
    revision: int
    created: int = 0
    lease: int = 0


class Snapshot(NamedTuple):
    """All keys of a prefix at one revision of a cluster."""

    held: list[Held]
    revision: int
    cluster: int


class Batch(NamedTuple):
    """Changes of a watch up to a revision. `whole`: no more changes of that revision follow."""

    changes: list[Held]
    revision: int
    whole: bool


class Swap(NamedTuple):
    """A key to write, if its revision is still `base`; None deletes it."""

    key: str
    value: bytes | None
    base: int | None  # None: whatever is there
    lease: int = 0


class Swapped(NamedTuple):
    """The result of a transaction: all written at `revision`; or none; the engine has `found`."""

    done: bool
    revision: int
    found: dict[str, Held]


@dataclass(frozen=True, slots=True)
class EngineMember:
    """A member of the engine, at `endpoint` (HOST:PORT); one that does not vote is a learner.

    `heard` is when it last answered this node (monotonic; 0: never). The rest is as of then. `led`:
    it knew a leader. `applied` counts the changes that it has (its raft index). `alarms` are etcd's
    names: NOSPACE, CORRUPT.
    """

    name: str
    endpoint: str
    votes: bool = True
    heard: float = 0.0
    version: str = ""
    leads: bool = False
    led: bool = False
    bytes: int = 0
    bytes_used: int = 0
    applied: int = 0
    alarms: tuple[str, ...] = ()

    def silent(self, now: float) -> float:
        """Seconds since it answered, as of `now` (monotonic); infinite if it never did."""
        return now - self.heard if self.heard else float("inf")
