# SPDX-License-Identifier: GPL-2.0-or-later
"""A fake wait for followers, which runs a callback each time they wait."""

from collections.abc import Callable


class Turns:
    """Runs the next callback at each wait; returns True (stop) when there is none left."""

    def __init__(self, *happens: Callable[[], object]) -> None:
        self.happens = list(happens)
        self.waited: list[float] = []

    def __call__(self, seconds: float) -> bool:
        self.waited.append(seconds)
        if not self.happens:
            return True
        self.happens.pop(0)()
        return False
