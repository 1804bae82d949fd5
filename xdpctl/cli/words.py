# SPDX-License-Identifier: GPL-2.0-or-later
"""Rewrites messages of the control plane in the words of the command line. Pure.

The messages are for programs, too, so they name JSON fields and API calls. Where a message names a
field and its option, as in `give force (--force)`, only the option is kept.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from xdpctl.model.match.components import COMPONENTS

# fields of a request, and the options that set them
_FIELDS = {
    "ttl": ("--ttl", "--for"),
    "confirm_within": ("--confirm-within",),
    "tags": ("--tag",),
    "reason": ("--reason",),
    "priority": ("--priority",),
    "limit.pps": ("--pps",),
    "limit.bps": ("--bps",),
    "limit.burst": ("--burst",),
    "feed.refresh": ("--refresh",),
    "since": ("--since",),
}
_LISTS = {
    "rules": "list",
    "tokens": "token list",
    "history": "history",
    "incidents": "incidents",
    "sets": "set list",
}
_NAMES = {"confirm_within": "--confirm-within", "allow_private": "--allow-private"} | {
    name: component.words[0] for name, component in COMPONENTS.items() if "_" in name
}
_BOTH = re.compile(r"\b(?:mode monitor|spare \"established\"|[a-z_]+) \((--[^()]+)\)")
_RULE = re.compile(r"\b(PATCH|DELETE) /v1/rules/([^\s,;]+)")
_LIST = re.compile(rf"\bGET /v1/({'|'.join(_LISTS)})\b")
_NAME = re.compile(rf"\b({'|'.join(_NAMES)})\b")


def spoken(text: str) -> str:
    """A message with options and commands instead of fields and calls."""
    text = _BOTH.sub(r"\1", text)
    text = _RULE.sub(lambda match: _on_rule(*match.groups()), text)
    text = _LIST.sub(lambda match: f"xdpctl {_LISTS[match[1]]}", text)
    return _NAME.sub(lambda match: _NAMES[match[1]], text)


def with_option(text: str, field: str, arguments: Sequence[str]) -> str:
    """The text of an error, with the option of the command line that it is about."""
    typed = {word.partition("=")[0] for word in arguments}
    option = next((candidate for candidate in _FIELDS.get(field, ()) if candidate in typed), "")
    if not option or option in text:
        return text
    rest = text.removeprefix(f"{field} ")
    return f"{option} {rest}" if rest != text else f"{option}: {text}"


def allowed(answer: Mapping[str, Any]) -> list[str]:
    """Lines about an incident that was allowed: the removed rules, and what is expected now."""
    lines = [f"removed: {rule}" for rule in answer["removed"]]
    for expectation in answer["expected"]:
        lines += [
            f"expected from now on: {expectation['text']}",
            f"  take it back with: xdpctl expect remove {expectation['name']}",
        ]
    return lines


def _on_rule(call: str, identity: str) -> str:
    command = "edit" if call == "PATCH" else "unblock"
    return f"xdpctl {command} {identity.replace('_', '/')}"
