# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures as people read them."""


def si(number: float) -> str:
    """`1.2 M`; three digits are enough to look at."""
    for unit in ("", " k", " M", " G", " T"):
        if abs(number) < 1000:
            return f"{number:.3g}{unit}" if unit else f"{number:g}"
        number /= 1000
    return f"{number:.3g} P"
