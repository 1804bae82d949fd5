# SPDX-License-Identifier: GPL-2.0-or-later
"""The records of a fleet's node about the intents that it shares with others. Values only.

An intent is what somebody asked for, for all nodes or some of them: a rule, a set, a setting. The
fleet's engine has the intents; each node keeps their effect, and these records.
"""

from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

import msgspec

from xdpctl.model.rule import Rule

T = TypeVar("T")


class Outcome(StrEnum):
    """How it ended that one node tried a change first."""

    PUBLISHED = "published"  # all nodes have it, or the node does well
    BACK = "taken back"
    HELD = "held"  # it stays on this node, and waits for a person


class Unsent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An intent to publish from this node, which the engine has not confirmed yet.

    `base` is the engine's revision of the intent that this node knew when somebody asked for the
    new one, 0 for none. `data` is the content; empty: the current record. `change` is the number in
    this node's history.
    """

    by: str
    at: float  # Unix time
    base: int = 0
    scope: str = ""
    removed: bool = False
    data: bytes = b""
    change: int = 0


class Shared(msgspec.Struct, frozen=True, omit_defaults=True):
    """An intent of the fleet as this node has last taken it over, at a revision of the engine.

    `refused` says why this node does not apply it. With `local`, the reason is that a record of
    this node alone is in force instead. `removed_at` is the Unix time of the intent's removal; 0 if
    the fleet still has it. `at` is when somebody asked for it: a restored engine may have an older
    intent.
    """

    revision: int
    scope: str = ""
    refused: str = ""
    removed_at: float = 0.0
    local: bool = False
    at: float = 0.0

    @property
    def stands(self) -> bool:
        """Whether the fleet has this intent."""
        return not self.removed_at


class Yielded(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody asked for on this node, and what gave way to an intent of another node.

    `what` it was and `stands`, who asked for what stands, are in words. `at` is when it gave way
    (Unix time). `data` is its content; empty for a removal, and for a set, which is not kept.
    """

    by: str
    at: float
    what: str
    stands: str
    scope: str = ""
    removed: bool = False
    data: bytes = b""


class Canary(NamedTuple):
    """The scope of a change that one node tries for so many seconds before all have it."""

    seconds: float


Scope = str | Canary | None  # of a change: "" is all nodes, None this node alone


class Rollout(msgspec.Struct, frozen=True, omit_defaults=True):
    """A change that this node tries alone, and publishes for all if it hurts nobody here.

    `keys` are the intents that it touches, with the engine's revisions of these when it began; none
    if only the node itself is judged, as after an upgrade. `policy` is the content of a policy that
    is tried, and `before` of the one before. `until` is Unix time. `word` is the node's condition
    when it began, and `failing` the services that failed their clients then. `outcome` is None
    while it goes on; `why` explains it.
    """

    by: str
    at: float
    until: float
    keys: dict[str, int] = {}
    policy: str | None = None
    before: str = ""
    word: str = ""
    failing: tuple[str, ...] = ()
    outcome: Outcome | None = None
    why: str = ""


class Position(msgspec.Struct, frozen=True):
    """The revision up to which this node has followed the engine of a cluster, at a Unix time.

    `fleet` is the id of the fleet, which stays when its engine is restored. `epoch` changes when
    the engine is restored, or goes on with a member that was behind.
    """

    cluster: str
    revision: int
    at: float
    fleet: str = ""
    epoch: str = ""

    def another(self, now: "Position") -> bool:
        """Whether the engine, as it is now, may have another history than it had then."""
        return (self.cluster, self.epoch) != (now.cluster, now.epoch)


def key_of(rule: Rule) -> str:
    """The key of the intent of a rule."""
    return f"rules/{rule.id}"


encode = msgspec.json.Encoder().encode
_decoders: dict[type, Any] = {
    kind: msgspec.json.Decoder(kind) for kind in (Unsent, Shared, Yielded, Rollout, Position)
}


def decode(kind: type[T], value: bytes) -> T:
    """The stored record; ValueError if it is unreadable."""
    try:
        record: T = _decoders[kind].decode(value)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return record
