# SPDX-License-Identifier: GPL-2.0-or-later
"""What a person's change touches: every record before and after it, so that it can be undone.

A change has a number. What it touches is what the branch of its operation stages, so no operation
has to know of it.
"""

import logging
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from xdpctl.control.state.draft import Draft
from xdpctl.control.store.audit import Event
from xdpctl.control.store.kinds import KINDS, Kind, kind_of
from xdpctl.control.store.port import ChangeStep
from xdpctl.model.identity import Caller
from xdpctl.model.rule import Deadlines

# Tokens, incidents and announcements cannot be undone: a secret that was revoked may be known to
# others, an incident is evidence, and an announcement is withdrawn instead. Expectations have
# commands of their own.
_NOT_UNDOABLE = (
    "tokens",
    "incidents",
    "announcements",
    "expectations",
    "unsent",
    "shared",
    "yielded",
    "rollouts",
    "followed",
)
_UNDOABLE = tuple(k for k in KINDS if k.field not in _NOT_UNDOABLE)
_LEVEL = 1  # of zlib: the records of an import are nearly equal


@dataclass(frozen=True, slots=True)
class Change:
    """A change that a caller asks for; several operations may be steps of the same one.

    `number` is 0 if it cannot be undone, as a change of a detector. If it is `meant`, it may cut
    off most of this host's connections. It `undoes` the change with that number, or `confirms` the
    rule with that id.
    """

    number: int
    caller: Caller
    meant: bool = False
    undoes: int = 0
    confirms: str = ""


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a listing shows of a step; `records` is how many records it touched."""

    at: float
    actor: str
    action: str
    subject: str
    records: int
    undoes: int = 0
    confirms: str = ""


class Part(NamedTuple):
    """A record before and after a change; None if there was or is none."""

    kind: Kind
    identity: Any
    before: Any
    after: Any


log = logging.getLogger("xdpctl.controller")
_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder()
_summaries = msgspec.json.Decoder(Summary)


def record(draft: Draft, change: Change) -> None:
    """Stage the step of `change` that the operation on this branch made, if it made one.

    The audit events of the operation get the number of the change.
    """
    steps = [
        (kind.key(identity), *_encoded(draft, kind, earlier, value))
        for kind in _UNDOABLE
        for identity, earlier, value in touched(draft, kind)
    ]
    if not steps:
        return
    for event in draft.events:
        event.detail["change"] = change.number
    first = draft.events[0] if draft.events else Event(change.caller.name, "", "", {})
    summary = Summary(
        round(draft.now.unix, 3),
        change.caller.name,
        first.action,
        first.subject,
        len(steps),
        change.undoes,
    )
    parts = zlib.compress(_encoder.encode(steps), _LEVEL)
    draft.steps.append(ChangeStep(change.number, msgspec.json.encode(summary), parts))


def touched(draft: Draft, kind: Kind) -> Iterator[tuple[Any, Any, Any]]:
    """Identity, earlier and current value of what a branch changes."""
    assert draft.before is not None  # noqa: S101  # it is a branch
    before = draft.before.of(kind.field)
    for identity, value in draft.staged(kind.field).items():
        earlier = before.get(identity)
        if isinstance(earlier, Deadlines) and earlier.expired(draft.now.ns):
            earlier = None  # it has expired, and upkeep has not removed it yet
        same = earlier is value if kind.field == "entries" else earlier == value
        if not same:
            yield identity, earlier, value


def _encoded(draft: Draft, kind: Kind, *values: Any) -> list[bytes | None]:
    return [None if value is None else kind.encode(value, draft.now) for value in values]


def summary(raw: bytes) -> Summary | None:
    """The summary of a step; None if it is unreadable, so that all others can be listed."""
    try:
        return _summaries.decode(raw)
    except msgspec.DecodeError as error:
        log.error("a damaged change is left out of the history: %s", error)
        return None


def parts(draft: Draft, stored: Sequence[bytes]) -> list[Part]:
    """The parts of a change, the newest step first; ValueError or XdpctlError if unreadable.

    A record that several steps touched is there once, as it was before the first of them.
    """
    by_key: dict[str, Part] = {}
    for step in reversed(stored):
        for key, before, after in _unpacked(step):
            parsed = kind_of(key)
            if parsed is None:
                raise ValueError(f"no kind of record has the key {key}")
            kind, name = parsed
            identity = kind.identity(name)
            later = by_key.get(key)
            by_key[key] = Part(
                kind,
                identity,
                _decoded(draft, kind, identity, before),
                later.after if later else _decoded(draft, kind, identity, after),
            )
    return list(by_key.values())


def _unpacked(step: bytes) -> Any:
    try:
        return _decoder.decode(zlib.decompress(step))
    except (zlib.error, msgspec.DecodeError) as error:
        raise ValueError(f"the stored change is damaged: {error}") from error


def _decoded(draft: Draft, kind: Kind, identity: Any, value: bytes | None) -> Any:
    return None if value is None else kind.decode(identity, value, draft.now)
