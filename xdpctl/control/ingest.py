"""What a record of the store says, taken over into the state."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xdpctl.base.clock import Now
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.state import State
from xdpctl.control.store.audit import CHECKPOINT
from xdpctl.control.store.records import (
    AUTOMATIC,
    ENTRIES,
    INCIDENTS,
    RULES,
    SETS,
    TOKENS,
    decode,
    decode_set,
    source_of,
)
from xdpctl.control.store.signature_records import SIGNATURES, decode_signature
from xdpctl.control.store.store import Change
from xdpctl.errors import StoreError, XdpctlError
from xdpctl.model.identity import Token
from xdpctl.model.incident import decode as decode_incident
from xdpctl.model.rule import Automatic, Rule
from xdpctl.model.source_set import decode_entries

# What this process has just written, by key, with its value: it need not be parsed again. A rule's
# value is its source and the rule.
Ours = Mapping[str, tuple[bytes | None, Any]]


@dataclass(slots=True)
class Learned:
    """What has to be brought to the kernel: rules on these sources, and signatures."""

    sources: set[Prefix] = field(default_factory=set)
    signatures: bool = False


def learn(state: State, change: Change, now: Now, ours: Ours, learned: Learned) -> None:
    """StoreError for a record that cannot be read."""
    try:
        _learn(state, change, now, ours, learned)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, XdpctlError) as error:
        raise StoreError(f"the record {change.key} is unreadable: {error}") from error


def _learn(state: State, change: Change, now: Now, ours: Ours, learned: Learned) -> None:
    kind, _, name = change.key.partition("/")
    value = change.value
    match kind + "/":
        case kind if kind == RULES:
            source, rule = _rule(change, now, ours)
            state.learn(source, rule)
            learned.sources.add(source)
        case kind if kind == TOKENS:
            state.learn_token(name, Token.unpack(value) if value else None)
        case kind if kind == SIGNATURES:
            _put(state.signatures, name, None if value is None else decode_signature(value, now))
            learned.signatures = True
        case kind if kind == SETS:
            _put(state.sets, name, None if value is None else decode_set(value))
        case kind if kind == ENTRIES:
            _put(state.entries, name, value and _known(change, ours, decode_entries))
        case kind if kind == INCIDENTS:
            _put(state.incidents, name, value and _known(change, ours, decode_incident))
        case _ if change.key == CHECKPOINT:
            state.checkpoint = value
        case _ if change.key == AUTOMATIC:
            state.automatic = Automatic(value.decode()) if value else None


def _put(held: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        held.pop(name, None)
    else:
        held[name] = value


def _known(change: Change, ours: Ours, read: Callable[[bytes], Any]) -> Any:
    """The value of a record that is there."""
    written = ours.get(change.key)
    if written and written[0] == change.value:
        return written[1]
    return read(change.value or b"")


def _rule(change: Change, now: Now, ours: Ours) -> tuple[Prefix, Rule | None]:
    written = ours.get(change.key)
    if written and written[0] == change.value:
        source, rule = written[1]
        return source, rule
    source = source_of(change.key)
    return source, None if change.value is None else decode(source, change.value, now)
