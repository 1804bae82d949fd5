# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts of others for terminals and pages."""


def printable(text: str, most: int | None = None) -> str:
    """The text without control characters, and with at most so many characters."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:most]
    )
