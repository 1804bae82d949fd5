# SPDX-License-Identifier: GPL-2.0-or-later
"""What a person's change touches: every record before and after it, so that it can be undone.

A change has a number. What it touches is found by comparing what a draft stages before and after
the operation, so no operation has to know of it.
"""

import logging
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from xdpctl.control.state.draft import Draft
from xdpctl.control.store.audit import Event
from xdpctl.control.store.kinds import KINDS, Kind, kind_of
from xdpctl.control.store.port import ChangeStep
from xdpctl.model.rule import Deadlines

# Tokens, incidents and announcements cannot be undone: a secret that was revoked may be known to
# others, an incident is evidence, and what was asked of a provider is withdrawn. What is expected
# is no rule, and has commands of its own.
_NOT_UNDOABLE = (
    "tokens",
    "incidents",
    "announcements",
    "expectations",
    "unsent",
    "shared",
    "followed",
)
_UNDOABLE = tuple(k for k in KINDS if k.field not in _NOT_UNDOABLE)
_LEVEL = 1  # of zlib: the records of an import are nearly equal
_MISSING = object()
Staged = dict[str, dict[Any, Any]]


@dataclass(frozen=True, slots=True)
class Change:
    """A change that a person asks for; several operations may be steps of the same one.

    `undoes` is the number of the change that this one undoes, 0 for none.
    """

    number: int
    actor: str
    undoes: int = 0


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a listing shows of a step; `records` is how many records it touched."""

    at: float
    actor: str
    action: str
    subject: str
    records: int
    undoes: int = 0


class Part(NamedTuple):
    """A record before and after a change; None if there was or is none."""

    kind: Kind
    identity: Any
    before: Any
    after: Any


log = logging.getLogger("xdpctl.controller")
_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder()
_summaries = msgspec.json.Decoder(Summary)


def staged(draft: Draft, kinds: Iterable[Kind] = _UNDOABLE) -> Staged:
    """What the draft stages now of these kinds; by default, of all that can be undone."""
    return {kind.field: dict(getattr(draft, kind.field)) for kind in kinds}


def record(draft: Draft, change: Change, before: Staged, events: Sequence[Event]) -> None:
    """Stage the step of `change` that an operation made since `before`, if it made one.

    `events` are the audit events of the operation; they get the number of the change.
    """
    steps = [
        (kind.key(identity), *_encoded(draft, kind, earlier, value))
        for kind in _UNDOABLE
        for identity, earlier, value in touched(draft, kind, before[kind.field])
    ]
    if not steps:
        return
    for event in events:
        event.detail["change"] = change.number
    first = events[0] if events else Event(change.actor, "", "", {})
    summary = Summary(
        round(draft.now.unix, 3),
        change.actor,
        first.action,
        first.subject,
        len(steps),
        change.undoes,
    )
    parts = zlib.compress(_encoder.encode(steps), _LEVEL)
    draft.steps.append(ChangeStep(change.number, msgspec.json.encode(summary), parts))


def touched(draft: Draft, kind: Kind, before: dict[Any, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Identity, earlier and current value of what differs from what was staged `before`."""
    stands = getattr(draft.state, kind.field)
    for identity, value in getattr(draft, kind.field).items():
        earlier = before.get(identity, _MISSING)
        if earlier is value:
            continue
        if earlier is _MISSING:
            earlier = stands.get(identity)
            if isinstance(earlier, Deadlines) and earlier.expired(draft.now.ns):
                earlier = None  # it is only not swept yet
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
        log.error("a stored change is left out of the history, it is damaged: %s", error)
        return None


def parts(draft: Draft, stored: Sequence[bytes]) -> list[Part]:
    """The parts of a change, the newest step first; ValueError or XdpctlError if unreadable.

    A record that several steps touched is there once: as it was before the first.
    """
    found: dict[str, Part] = {}
    for step in reversed(stored):
        for key, before, after in _unpacked(step):
            known = kind_of(key)
            if known is None:
                raise ValueError(f"no kind of record has the key {key}")
            kind, name = known
            identity = kind.identity(name)
            later = found.get(key)
            found[key] = Part(
                kind,
                identity,
                _decoded(draft, kind, identity, before),
                later.after if later else _decoded(draft, kind, identity, after),
            )
    return list(found.values())


def _unpacked(step: bytes) -> Any:
    try:
        return _decoder.decode(zlib.decompress(step))
    except (zlib.error, msgspec.DecodeError) as error:
        raise ValueError(f"the stored change is damaged: {error}") from error


def _decoded(draft: Draft, kind: Kind, identity: Any, value: bytes | None) -> Any:
    return None if value is None else kind.decode(identity, value, draft.now)
