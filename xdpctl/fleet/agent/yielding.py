# SPDX-License-Identifier: GPL-2.0-or-later
"""What people asked for and what gave way to another node's intent: kept, and taken up again."""

from collections.abc import Callable
from typing import Any

from msgspec import Raw

from xdpctl.abi.structs import Hits
from xdpctl.control.state.draft import Draft
from xdpctl.errors import NotFoundError, RuleError
from xdpctl.fleet.agent.handlers import HANDLERS, Stated
from xdpctl.fleet.intent import VERSION, Intent, content, in_scope, kind_named
from xdpctl.fleet.settings import FleetSettings
from xdpctl.model.rule import Rule
from xdpctl.model.shared import Unsent, Yielded

MOST = 100  # that are kept, the newest ones


def keep(draft: Draft, key: str, unsent: Unsent, ours: Any, theirs: Any, stands: str) -> None:
    """Keep what `unsent` asked for: `ours`, None for a removal, gives way to `theirs`."""
    kind, _ = kind_named(key)
    data = unsent.data
    if not data and ours is not None and kind != "sets":
        data = bytes(content(kind, ours, draft.now))
    what = f"the removal of {_words(key, theirs)}" if unsent.removed else _words(key, ours)
    draft.yielded[key] = Yielded(
        unsent.by, draft.now.unix, what, stands, unsent.scope, unsent.removed, data
    )
    every = {**draft.state.yielded, **draft.yielded.staged}
    known = sorted((each.at, name) for name, each in every.items() if each is not None)
    for _, name in known[:-MOST]:
        draft.yielded[name] = None


def again(
    draft: Draft, key: str, by: str, me: FleetSettings, hits: Callable[[Rule], Hits]
) -> Yielded:
    """Ask again, knowing what stands; NotFoundError, or RuleError if its content is not known.

    A rule with an end lasts as long as it had left when it gave way.
    """
    yielded = _known(draft, key)
    kind, name = kind_named(key)
    if not yielded.removed and not yielded.data:
        raise RuleError(f"the content of {yielded.what} is not kept", "key", "ask for it anew")
    scope, data = yielded.scope, Raw(yielded.data or b"null")
    here = in_scope(scope, me.name, me.groups)
    intent = Intent(VERSION, by, me.name, yielded.at, False, scope, yielded.removed, data=data)
    stated = Stated(key, name, intent, None, here and not yielded.removed, True, hits)
    if here:
        HANDLERS[kind](draft, stated)
    shared = draft.shared.get(key)
    base, kept = shared.revision if shared else 0, b"" if here else yielded.data
    draft.unsent[key] = Unsent(by, draft.now.unix, base, scope, yielded.removed, kept)
    draft.yielded[key] = None
    draft.note(by, "fleet.again", key, what=yielded.what)
    return yielded


def forget(draft: Draft, key: str, by: str) -> Yielded:
    """Leave it at what stands; NotFoundError."""
    yielded = _known(draft, key)
    draft.yielded[key] = None
    draft.note(by, "fleet.forget", key, what=yielded.what)
    return yielded


def _known(draft: Draft, key: str) -> Yielded:
    yielded = draft.yielded.get(key)
    if yielded is None:
        raise NotFoundError(f"nothing gave way under {key[:80]!r}; see xdpctl fleet status")
    return yielded


def _words(key: str, value: Any) -> str:
    return f"{value.action} {value.match}" if isinstance(value, Rule) else key
