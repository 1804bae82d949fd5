# SPDX-License-Identifier: GPL-2.0-or-later
"""Intents as the engine has them: an envelope around the record of a rule, set, token or setting.

A value of the engine may be of another version, or garbage, so it is read within bounds. An unknown
kind stays in the engine and is reported.
"""

import hashlib
from collections.abc import Collection
from enum import StrEnum
from typing import Any

import msgspec

from xdpctl.base.clock import Now
from xdpctl.control.store.kinds import KINDS, Kind
from xdpctl.errors import RuleError, XdpctlError
from xdpctl.model import tags
from xdpctl.model.identity import Token
from xdpctl.model.names import check_name
from xdpctl.model.rule import Rule

VERSION = 1
BYTES_MAX = 1_500_000  # of a value; etcd's default limit of a request
_DATA_MAX = {"rules": 64 << 10, "tokens": 8 << 10, "settings": 1 << 10}
_FIELD = {"sets": "sets", **{kind: kind for kind in _DATA_MAX}}
_KINDS: dict[str, Kind] = {kind.field: kind for kind in KINDS if kind.field in _FIELD}
NODE, GROUP = "node:", "group:"
STATES = "states"  # the unit in the certificate of a node that may publish intents


class Special(StrEnum):
    """Intents that are no records of a node's store."""

    BYPASS = "bypass"
    POLICY = "policy"
    MODULES = "modules"


POLICY = f"{Special.POLICY}/automatic"  # the key of the policy of the fleet


class Intent(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What somebody asked for: `by` is a person or a detector, on `node`, at `at` (Unix time).

    `clock`: the node's clock was synchronised. `data` is the record as JSON. `removed`: the record
    is to be removed. `scope`: all nodes (""), `node:NAME` or `group:NAME`.
    """

    v: int
    by: str
    node: str
    at: float
    clock: bool = False
    scope: str = ""
    removed: bool = False
    change: int = 0
    data: msgspec.Raw = msgspec.Raw(b"null")


class Unreadable(XdpctlError):
    """This version cannot use the engine's value of a key; the text says why."""


class Damaged(Unreadable):
    """The value is not what was written: its checksum is another one."""


_encoder, _decoder = msgspec.json.Encoder(), msgspec.json.Decoder(Intent)
_texts = msgspec.json.Decoder(str)


def encode(intent: Intent) -> bytes:
    """The value for the engine: JSON, and a line with its checksum."""
    return sealed(_encoder.encode(intent))


def decode(value: bytes) -> Intent:
    """The intent; Damaged, or Unreadable, such as one of a later version."""
    if len(value) > BYTES_MAX:
        raise Unreadable(f"it has {len(value):,} bytes, and at most {BYTES_MAX:,} are read")
    data = value.rpartition(b"\n")[0]
    if value != sealed(data):
        raise Damaged("its checksum is wrong, so its data in the engine is damaged")
    try:
        intent = _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Unreadable(f"it cannot be read: {str(error)[:120]}") from None
    if intent.v > VERSION:
        raise Unreadable(
            f"it is of version {intent.v}, and this node reads up to {VERSION}: upgrade this node"
        )
    if not (intent.by.isprintable() and len(intent.by) <= 100 and len(intent.node) <= 32):
        raise Unreadable("the name of who stated it is not valid")
    return intent


def sealed(data: bytes) -> bytes:
    """Some bytes, and a line with their checksum: 16 hexadecimal digits."""
    return data + b"\n" + hashlib.blake2b(data, digest_size=8).hexdigest().encode()


def kind_named(key: str) -> tuple[str, str]:
    """The kind and the identity that a key names: `rules/203.0.113.0_24`."""
    kind, _, name = key.partition("/")
    return kind, name


def content(kind: str, value: Any, now: Now) -> msgspec.Raw:
    """The record of a rule, token or setting as JSON, without what concerns one node alone."""
    if isinstance(value, Rule):
        shared_tags = tuple(t for t in value.tags if not tags.ours(t) or t == tags.RELEASED)
        value = value.replace(tags=shared_tags, slot=0)
    away = Now(now.ns, now.unix, "")  # kernel time of this boot means nothing on another node
    data = _KINDS[kind].encode(value, away)
    return msgspec.Raw(_encoder.encode(data.decode()) if kind == "settings" else data)


def value_of(key: str, intent: Intent, now: Now) -> Any:
    """The rule, token or setting of an intent; Unreadable if there is none.

    If both clocks were synchronised, its end is absolute. Otherwise its time counts from now.
    """
    kind, name = kind_named(key)
    bytes_max = _DATA_MAX.get(kind)
    if bytes_max is None:
        raise Unreadable(f"this version does not know {kind[:40]!r}")
    raw = bytes(intent.data)
    if len(raw) > bytes_max:
        raise Unreadable(f"it has {len(raw):,} bytes, and at most {bytes_max:,} are read")
    if not (intent.clock and now.error is not None):
        now = Now(now.ns, intent.at, now.boot)
    record_kind = _KINDS[kind]
    try:
        if kind == "settings":
            raw = _texts.decode(raw).encode()
        identity = record_kind.identity(name)
        record = record_kind.decode(identity, raw, now)
        if record_kind.key(_identity(record, identity)) != key:
            raise Unreadable("its content belongs to another key")
    except Unreadable:
        raise
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, XdpctlError) as error:
        raise Unreadable(f"its content cannot be read: {str(error)[:200]}") from None
    return record


def _identity(value: Any, key_identity: Any) -> Any:
    """The identity in a record; `key_identity`, which its key names, if the record has none."""
    if isinstance(value, Rule):
        return value.match.key
    return value.name if isinstance(value, Token) else key_identity


def check_scope(scope: str) -> str:
    """The scope, if it is valid; RuleError otherwise."""
    if scope in ("", "all"):
        return ""
    for mark in (NODE, GROUP):
        if scope.startswith(mark):
            return mark + check_name(scope.removeprefix(mark), "scope")
    raise RuleError(f"{scope[:64]!r} is not a scope", "scope", "give all, node:NAME or group:NAME")


def in_scope(scope: str, node: str, groups: Collection[str]) -> bool:
    """Whether a scope includes this node; an unknown scope includes none."""
    if not scope:
        return True
    return scope == NODE + node or (scope.startswith(GROUP) and scope.removeprefix(GROUP) in groups)


def prevails(ours: Any, theirs: Any) -> bool:
    """Whether our value, which is not sent yet, replaces theirs, which the engine has.

    Values are rules, sets, tokens or settings; None stands for a removal.
    """
    if isinstance(ours, Rule) and isinstance(theirs, Rule):
        return ours.same_effect(theirs) and _later(ours, theirs)
    return False


def agree(ours: Any, theirs: Any) -> bool:
    """Whether both ask for the same, so that there is no conflict to report."""
    if isinstance(ours, Rule) and isinstance(theirs, Rule):
        return ours.same_effect(theirs)
    return bool(ours == theirs)


def _later(ours: Rule, theirs: Rule) -> bool:
    """Whether ours ends later; 0 stands for no end."""
    return bool(theirs.expires_ns) and (not ours.expires_ns or ours.expires_ns > theirs.expires_ns)
