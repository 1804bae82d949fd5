# SPDX-License-Identifier: GPL-2.0-or-later
"""A history: the requests to each node, their answers, and the state of all nodes at the end."""

from enum import StrEnum
from pathlib import Path

import msgspec


class Outcome(StrEnum):
    """What the caller knows: stored by the engine, stored by the node only, refused, or unknown."""

    ENGINE = "engine"
    NODE = "node"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Asked(msgspec.Struct, frozen=True):
    """An operation: `value` is what the key should be ("drop", "accept"), "" for a removal.

    `revision` is the engine's for Outcome.ENGINE. Times are seconds since the start.
    """

    node: str
    key: str
    value: str
    person: bool
    began: float
    ended: float
    outcome: Outcome
    revision: int = 0


class Ending(msgspec.Struct, frozen=True):
    """The state of a node at the end: `value origin` by key, and the state of its audit log."""

    node: str
    rules: dict[str, str]
    audit: str = ""  # the first problem; "": the chain verifies
    unsent: int = 0


class History(msgspec.Struct):
    """A whole run. `leaked` counts packets of a source that was blocked all the time, by node."""

    asked: list[Asked] = []
    endings: list[Ending] = []
    leaked: dict[str, int] = {}
    healed_seconds: float = 0.0  # until all nodes were the same
    faults: list[str] = []

    def save(self, path: Path) -> None:
        path.write_bytes(msgspec.json.encode(self))


def load(path: Path) -> History:
    return msgspec.json.decode(path.read_bytes(), type=History)
