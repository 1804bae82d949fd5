# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of records in the store; each is defined here and nowhere else.

`State` has the current values of each kind and `Draft` the staged changes, both in a dict from
identity to value in the attribute `field`. A new kind needs an entry in `KINDS`, and that attribute
in both classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xdpctl.base.clock import Now
from xdpctl.control.store import announcement_records as announcement
from xdpctl.control.store import records, rule_records
from xdpctl.model import expectation, incident, rehearsal, shared
from xdpctl.model.effect import Automatic
from xdpctl.model.identity import Token
from xdpctl.model.match.match import id_of, key_named
from xdpctl.model.shared import Position, Rollout, Shared, Unsent, Yielded
from xdpctl.model.source_set import decode_entries, encode_entries

# The identity, under `settings/`, of the setting that says what detectors may do.
AUTOMATIC_MODE = "automatic"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of record. A key is `prefix` followed by `name(identity)`.

    `encode` and `decode` are inverse, except that deadlines of an earlier boot are converted to the
    clock of this one. `decode` raises ValueError or XdpctlError. If `costly`, values that this
    process has just written are not decoded again.
    """

    field: str
    prefix: str
    encode: Callable[[Any, Now], bytes]
    decode: Callable[[Any, bytes, Now], Any]
    name: Callable[[Any], str] = str
    identity: Callable[[str], Any] = str
    costly: bool = False

    def key(self, identity: Any) -> str:
        """The key of a record in the store."""
        return self.prefix + self.name(identity)


def _sharing(field: str, prefix: str, record: type[Any], costly: bool) -> Kind:
    """A kind of record of `model.shared`; all of these are encoded alike."""
    return Kind(
        field=field,
        prefix=prefix,
        encode=lambda value, _: shared.encode(value),
        decode=lambda _, value, now: shared.decode(record, value),
        costly=costly,
    )


RULES = Kind(
    field="rules",
    prefix=rule_records.RULES,
    encode=rule_records.encode,
    decode=rule_records.decode,
    name=id_of,
    identity=key_named,
    costly=True,
)
KINDS = (
    RULES,
    Kind(
        field="sets",
        prefix=records.SETS,
        encode=lambda source_set, _: records.encode_set(source_set),
        decode=lambda _, value, now: records.decode_set(value),
    ),
    Kind(
        field="entries",
        prefix=records.ENTRIES,
        encode=lambda entries, _: encode_entries(entries),
        decode=lambda _, value, now: decode_entries(value),
        costly=True,
    ),
    Kind(
        field="incidents",
        prefix=records.INCIDENTS,
        encode=lambda value, _: incident.encode(value),
        decode=lambda _, value, now: incident.decode(value),
        costly=True,
    ),
    Kind(
        field="tokens",
        prefix=records.TOKENS,
        encode=lambda token, _: token.pack(),
        decode=lambda _, value, now: Token.unpack(value),
    ),
    Kind(
        field="settings",
        prefix=records.SETTINGS,
        encode=lambda automatic, _: automatic.value.encode(),
        decode=lambda _, value, now: Automatic(value.decode()),
    ),
    Kind(
        field="announcements",
        prefix=records.ANNOUNCEMENTS,
        encode=announcement.encode,
        decode=lambda _, value, now: announcement.decode(value, now),
    ),
    Kind(
        field="rehearsals",
        prefix=records.REHEARSALS,
        encode=lambda value, _: rehearsal.encode(value),
        decode=lambda _, value, now: rehearsal.decode(value),
    ),
    Kind(
        field="expectations",
        prefix=records.EXPECTATIONS,
        encode=lambda value, _: expectation.encode(value),
        decode=lambda _, value, now: expectation.decode(value),
    ),
    _sharing("unsent", records.UNSENT, Unsent, costly=True),
    _sharing("shared", records.SHARED, Shared, costly=True),
    _sharing("yielded", records.YIELDED, Yielded, costly=False),
    _sharing("rollouts", records.ROLLOUTS, Rollout, costly=False),
    _sharing("followed", records.FLEET, Position, costly=False),
)
_BY_PREFIX = {kind.prefix: kind for kind in KINDS}


def kind_of(key: str) -> tuple[Kind, str] | None:
    """The kind of a store key and the name in it; None for the store's own keys."""
    prefix, mark, name = key.partition("/")
    kind = _BY_PREFIX.get(prefix + mark)
    return (kind, name) if kind else None
