# SPDX-License-Identifier: GPL-2.0-or-later
"""Durations as people write them."""

import re
from functools import lru_cache

from xdpctl.errors import RuleError

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_WORDS = {
    "s": ("sec", "secs", "second", "seconds"),
    "m": ("min", "mins", "minute", "minutes"),
    "h": ("hr", "hrs", "hour", "hours"),
    "d": ("day", "days"),
    "w": ("week", "weeks"),
}
_UNITS = {word: unit for unit, words in _WORDS.items() for word in (unit, *words)}
_LONGEST = 40  # characters
_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_PART = re.compile(f" ?({_NUMBER}) ?([a-z]{{1,7}})")


def parse_duration(text: str, field: str) -> float:
    """Parse a duration such as `90`, `15m`, `1h30m`, `10min` or `2 days` into seconds.

    RuleError, which names `field`, if the text is not a duration.
    """
    if re.fullmatch(_NUMBER, text):
        return float(text)
    parts = list(_PART.finditer(text)) if len(text) <= _LONGEST else []
    whole = "".join(part[0] for part in parts) == text
    if not parts or not whole or text[0] == " " or any(p[2] not in _UNITS for p in parts):
        raise RuleError(
            f"{text[:40]!r} is not a duration",
            field,
            "write seconds, or a number with s, m, h, d or w: 90, 15m, 1h30m",
        )
    return sum(float(part[1]) * _SECONDS[_UNITS[part[2]]] for part in parts)


@lru_cache(4096)
def show_duration(seconds: float) -> str:
    """Format seconds with the two largest units: `1h 30m`, `45s`."""
    left, words = round(seconds), []
    for unit, size in sorted(_SECONDS.items(), key=lambda item: -item[1]):
        if left >= size:
            words.append(f"{left // size}{unit}")
            left %= size
    return " ".join(words[:2]) or "0s"
