# SPDX-License-Identifier: GPL-2.0-or-later
"""The name of a module: a program of one's own, which a match asks about each packet. Pure."""

import re

from xdpctl.errors import RuleError

_NAME = re.compile("[a-z][a-z0-9_-]{0,31}")  # it is a file's name, and a bpffs allows no dots


def check(name: str, where: str) -> str:
    """The name, or RuleError with the field `where`."""
    if not _NAME.fullmatch(name):
        raise RuleError(
            f"{name[:40]!r} is not the name of a module",
            where,
            "begin with a letter, and use 1 to 32 of a-z, 0-9, '-' and '_'",
        )
    return name
