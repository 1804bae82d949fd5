# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages of lists: `cursor` asks for the page after the one whose `next` it is."""

import re
from typing import Annotated

from fastapi import Query
from pydantic import Field

from xdpctl.control.store.audit_search import LARGEST
from xdpctl.errors import RuleError

CURSOR_TEXT = "`next` of the page before"
Cursor = Annotated[str | None, Query(max_length=4_200, description=CURSOR_TEXT)]
Next = Annotated[str | None, Field(description="`cursor` of the next page; null on the last")]


def misread(cursor: str) -> RuleError:
    """The error for a cursor that no answer can have had."""
    return RuleError(f"{cursor[:40]!r} is not a cursor", "cursor", "give `next` of the page before")


def number(cursor: str | None, default: int) -> int:
    """The number that a cursor is; RuleError if it is none."""
    if cursor is None:
        return default
    if not re.fullmatch("[0-9]{1,19}", cursor) or int(cursor) > LARGEST:
        raise misread(cursor)
    return int(cursor)
