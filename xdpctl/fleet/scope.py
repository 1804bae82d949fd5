# SPDX-License-Identifier: GPL-2.0-or-later
"""For which nodes an intent is. Pure."""

from collections.abc import Collection

from xdpctl.errors import RuleError
from xdpctl.model.names import check_name

NODE, GROUP = "node:", "group:"
STATES = "states"  # the unit in the certificate of a node that may state intents


def check_scope(scope: str) -> str:
    """The scope, if it is valid; RuleError otherwise."""
    if scope in ("", "all"):
        return ""
    for mark in (NODE, GROUP):
        if scope.startswith(mark):
            return mark + check_name(scope.removeprefix(mark), "scope")
    raise RuleError(f"{scope[:64]!r} is not a scope", "scope", "give all, node:NAME or group:NAME")


def in_scope(scope: str, node: str, groups: Collection[str]) -> bool:
    """Whether a scope has this node; one that is not known has none."""
    if not scope:
        return True
    return scope == NODE + node or (scope.startswith(GROUP) and scope.removeprefix(GROUP) in groups)
