# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of records that are stored: each is stated here once, and nowhere else.

`State` holds what stands of each kind, a `Draft` what is to change, both in a dict from identity to
value under the kind's `field`. A new kind is an entry of `KINDS` and a field in both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xdpctl.base.clock import Now
from xdpctl.control.store import records
from xdpctl.control.store.signature_records import SIGNATURES, decode_signature, encode_signature
from xdpctl.model import incident
from xdpctl.model.identity import Token
from xdpctl.model.rule import Automatic, parse_rule_id, rule_id
from xdpctl.model.source_set import decode_entries, encode_entries

# The identity under `settings/` of what detectors may do.
AUTOMATIC_MODE = "automatic"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: `prefix` begins its keys, and the rest of a key is its `name(identity)`.

    `encode` and `decode` are inverse but for times, which move into this boot. `decode` raises
    ValueError or XdpctlError. `costly`: what this process has just written is not decoded again.
    """

    field: str
    prefix: str
    encode: Callable[[Any, Now], bytes]
    decode: Callable[[Any, bytes, Now], Any]
    name: Callable[[Any], str] = str
    identity: Callable[[str], Any] = str
    costly: bool = False

    def key(self, identity: Any) -> str:
        """Under which the store keeps it."""
        return self.prefix + self.name(identity)


RULES = Kind(
    field="rules",
    prefix=records.RULES,
    encode=records.encode,
    decode=records.decode,
    name=rule_id,
    identity=parse_rule_id,
    costly=True,
)
KINDS = (
    RULES,
    Kind(
        field="signatures",
        prefix=SIGNATURES,
        encode=encode_signature,
        decode=lambda _, value, now: decode_signature(value, now),
    ),
    Kind(
        field="sets",
        prefix=records.SETS,
        encode=lambda held, _: records.encode_set(held),
        decode=lambda _, value, now: records.decode_set(value),
    ),
    Kind(
        field="entries",
        prefix=records.ENTRIES,
        encode=lambda held, _: encode_entries(held),
        decode=lambda _, value, now: decode_entries(value),
        costly=True,
    ),
    Kind(
        field="incidents",
        prefix=records.INCIDENTS,
        encode=lambda held, _: incident.encode(held),
        decode=lambda _, value, now: incident.decode(value),
        costly=True,
    ),
    Kind(
        field="tokens",
        prefix=records.TOKENS,
        encode=lambda held, _: held.pack(),
        decode=lambda _, value, now: Token.unpack(value),
    ),
    Kind(
        field="settings",
        prefix=records.SETTINGS,
        encode=lambda held, _: held.value.encode(),
        decode=lambda _, value, now: Automatic(value.decode()),
    ),
)
_BY_PREFIX = {kind.prefix: kind for kind in KINDS}


def kind_of(key: str) -> tuple[Kind, str] | None:
    """The kind of a store key and the name in it; None for the store's own keys."""
    prefix, mark, name = key.partition("/")
    kind = _BY_PREFIX.get(prefix + mark)
    return (kind, name) if kind else None
