# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbers with SI prefixes, and waits."""

from functools import lru_cache

from xdpctl.abi.sizes import WAIT_LOG2, WAITS

# the longest wait, which stands for all waits longer than a quarter of it
_LONGEST_SECONDS = (1 << WAIT_LOG2 + 2 * (WAITS - 1)) // 10**9


@lru_cache(4096)  # because a list of rules has the same numbers again and again
def si(number: float) -> str:
    """Format a number with three significant digits and an SI prefix: `1.2 M`."""
    for unit in ("", " k", " M", " G", " T"):
        if abs(number) < 1000:
            return f"{number:.3g}{unit}" if unit else f"{number:g}"
        number /= 1000
    return f"{number:.3g} P"


def si3(number: float) -> str:
    """As `si` for an estimate, rounded to three digits, since it is not more exact than that."""
    return si(float(f"{number:.3g}"))


def wait(seconds: float | None) -> str:
    """A wait as GET /v1/served has it: `4 ms`, `1.07 s`, `> 4.29 s`; `?` for None."""
    if seconds is None:
        return "?"
    if seconds >= _LONGEST_SECONDS:
        return f"> {si3(seconds / 4)} s"
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{si3(seconds)} s"
