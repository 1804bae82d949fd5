# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes foreign text safe in CSV: a spreadsheet must not take it for a formula."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # beginnings that a spreadsheet takes for a formula


def cell(text: str) -> str:
    """The text, with an apostrophe before it if it could be a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
