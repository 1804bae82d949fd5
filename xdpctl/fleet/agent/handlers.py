# SPDX-License-Identifier: GPL-2.0-or-later
"""Applies an intent to this node's records, with one handler for each kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from xdpctl.abi.structs import Hits
from xdpctl.control.operations import sets
from xdpctl.control.state.draft import Draft
from xdpctl.control.store.kinds import AUTOMATIC_MODE
from xdpctl.control.store.records import decode_set
from xdpctl.errors import XdpctlError
from xdpctl.fleet.agent.records import OnlyHere, current, place, put_set, standing_rule
from xdpctl.fleet.intent import Intent, Unreadable, value_of
from xdpctl.mitigation.undo import ending
from xdpctl.model.effect import Automatic
from xdpctl.model.identity import Caller, Role, Token
from xdpctl.model.rule import OPERATOR, Rule, automatic
from xdpctl.model.source_set import Entries


@dataclass(frozen=True, slots=True)
class Stated:
    """An intent, and what it means for this node.

    `here`: the intent is for this node, and not a removal. `ours`: the fleet knows the record that
    this node has, so the intent may replace it.
    """

    key: str
    name: str
    intent: Intent
    entries: Entries | None
    here: bool
    ours: bool
    hits: Callable[[Rule], Hits]

    @property
    def who(self) -> Caller:
        """Who asked for the intent, as a caller of this node."""
        return Caller(f"{self.intent.by} ({self.intent.node})", Role.OPERATOR, OPERATOR)

    def value(self, draft: Draft) -> Any:
        """The record that this node is to have; None for none."""
        return value_of(self.key, self.intent, draft.now) if self.here else None


def _rule(draft: Draft, stated: Stated) -> None:
    rule, standing = stated.value(draft), standing_rule(draft, stated.key)
    if rule is not None and not rule.expired(draft.now.ns):
        place(draft, rule, standing, stated.ours, stated.who)
    elif standing is None:
        return
    elif not automatic(standing):
        if stated.ours:
            draft.remove(standing)
    elif stated.intent.removed:  # by a person; a detector's rule stays while its node is away
        ending(draft, f"removed by {stated.who.name}", stated.hits)(standing)
        draft.remove(standing)


def _set(draft: Draft, stated: Stated) -> None:
    if not stated.here:
        if stated.ours and draft.sets.get(stated.name) is not None:
            sets.remove(draft, stated.name, stated.who, None, {})
        return
    try:
        record = decode_set(bytes(stated.intent.data))
    except (ValueError, XdpctlError) as error:
        raise Unreadable(f"its record cannot be read: {str(error)[:200]}") from None
    if stated.entries is None or record.name != stated.name:
        raise Unreadable("its entries are missing, or its content belongs to another set")
    put_set(draft, record, stated.entries, stated.ours, stated.who)


def _token(draft: Draft, stated: Stated) -> None:
    token = stated.value(draft)
    assert token is None or isinstance(token, Token)  # noqa: S101
    draft.tokens[stated.name] = token


def _setting(draft: Draft, stated: Stated) -> None:
    if stated.name != AUTOMATIC_MODE:
        setting = f"the setting {stated.name[:40]!r}"
        raise Unreadable(f"this version does not know {setting}: it is kept in the engine")
    mode, standing = stated.value(draft), current(draft, stated.key)
    assert mode is None or isinstance(mode, Automatic)  # noqa: S101
    if standing is not None and standing is not mode and not stated.ours:
        raise OnlyHere(f"{standing} was set on this node alone")
    draft.settings[stated.name] = mode


HANDLERS: Mapping[str, Callable[[Draft, Stated], None]] = {
    "rules": _rule,
    "sets": _set,
    "tokens": _token,
    "settings": _setting,
}
