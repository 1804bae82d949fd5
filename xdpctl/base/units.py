# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers with SI prefixes."""

from functools import lru_cache


@lru_cache(4096)  # a list of rules has the same numbers again and again
def si(number: float) -> str:
    """Format a number with three significant digits and an SI prefix: `1.2 M`."""
    for unit in ("", " k", " M", " G", " T"):
        if abs(number) < 1000:
            return f"{number:.3g}{unit}" if unit else f"{number:g}"
        number /= 1000
    return f"{number:.3g} P"


def si3(number: float) -> str:
    """The same of an estimate, of which more than three digits say nothing."""
    return si(float(f"{number:.3g}"))
