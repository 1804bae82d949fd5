# SPDX-License-Identifier: GPL-2.0-or-later
"""Takes the store's records over into the state."""

from dataclasses import dataclass, field

from xdpctl.base.clock import Now
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.draft import Written
from xdpctl.control.state.state import State
from xdpctl.control.store.audit import CHECKPOINT
from xdpctl.control.store.kinds import RULES, kind_of
from xdpctl.control.store.port import KeyChange
from xdpctl.errors import StoreError, XdpctlError


@dataclass(slots=True)
class Ingested:
    """What to apply to the kernel: the sources of changed rules, and whether matches changed."""

    sources: set[Prefix] = field(default_factory=set)
    matches: bool = False


def learn(state: State, change: KeyChange, now: Now, written: Written, learned: Ingested) -> None:
    """Take one record over into the state, and note in `learned` what to apply to the kernel.

    `written` has the values that this process just wrote, which need not be decoded. StoreError if
    the record cannot be read.
    """
    try:
        if change.damaged:
            raise StoreError("its checksum is wrong: the disk has changed it")
        _learn(state, change, now, written, learned)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, XdpctlError) as error:
        raise StoreError(f"the record {change.key} is unreadable: {error}") from error


def _learn(state: State, change: KeyChange, now: Now, written: Written, learned: Ingested) -> None:
    if change.key == CHECKPOINT:
        state.checkpoint = change.value
    parsed = kind_of(change.key)
    if parsed is None:
        return
    kind, name = parsed
    ours = written.get(change.key)
    if ours and ours[0] == change.value:
        _, identity, value = ours
    else:
        identity = kind.identity(name)
        value = None if change.value is None else kind.decode(identity, change.value, now)
    before = state.record(identity) if kind is RULES else None
    state.take_over(kind, identity, value)
    if kind is RULES:
        if isinstance(identity, Prefix):
            learned.sources.add(identity)
        versions = (before, value)
        learned.matches |= any(rule is not None and rule.by_source is None for rule in versions)
