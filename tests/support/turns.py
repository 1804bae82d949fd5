# SPDX-License-Identifier: GPL-2.0-or-later
"""Time for followers, in which something happens each time they wait."""

from collections.abc import Callable


class Turns:
    """Lets a follower wait so often, with something happening each time."""

    def __init__(self, *happens: Callable[[], object]) -> None:
        self.happens = list(happens)
        self.waited: list[float] = []

    def __call__(self, seconds: float) -> bool:
        self.waited.append(seconds)
        if not self.happens:
            return True
        self.happens.pop(0)()
        return False
