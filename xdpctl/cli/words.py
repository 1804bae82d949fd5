# SPDX-License-Identifier: GPL-2.0-or-later
"""Says what the control plane says in the words of the command line. Pure.

The control plane answers programs, too: it names fields of JSON and calls of the API. A text that
names both, as in `give force (--force)`, keeps the option alone.
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
    """The same text with options and commands instead of fields and calls."""
    text = _BOTH.sub(r"\1", text)
    text = _RULE.sub(lambda found: _on_rule(*found.groups()), text)
    text = _LIST.sub(lambda found: f"xdpctl {_LISTS[found[1]]}", text)
    return _NAME.sub(lambda found: _NAMES[found[1]], text)


def with_option(text: str, field: str, arguments: Sequence[str]) -> str:
    """The text of an error, with the option of the command line that it is about."""
    given = {word.partition("=")[0] for word in arguments}
    option = next((one for one in _FIELDS.get(field, ()) if one in given), "")
    if not option or option in text:
        return text
    rest = text.removeprefix(f"{field} ")
    return f"{option} {rest}" if rest != text else f"{option}: {text}"


def allowed(answer: Mapping[str, Any]) -> list[str]:
    """What ended with an incident that was legitimate, and what is expected from now on."""
    lines = [f"removed: {rule}" for rule in answer["removed"]]
    for each in answer["expected"]:
        lines += [
            f"expected from now on: {each['text']}",
            f"  take it back with: xdpctl expect remove {each['name']}",
        ]
    return lines


def _on_rule(call: str, identity: str) -> str:
    command = "edit" if call == "PATCH" else "unblock"
    return f"xdpctl {command} {identity.replace('_', '/')}"
