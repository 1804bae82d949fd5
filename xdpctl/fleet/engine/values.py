# SPDX-License-Identifier: GPL-2.0-or-later
"""What is read from the engine and written to it. Values only."""

from typing import NamedTuple


class Held(NamedTuple):
    """A key of the engine with its value; None: it is not there. `created` is a revision, too.

    `lease` is the id of the lease that it vanishes with; 0: none.
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
    """What a watch brings together: changes up to a revision. `whole`: no more comes of it."""

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
    """The result of a transaction: all swapped at `revision`; or none, and what is there."""

    done: bool
    revision: int
    found: dict[str, Held]
