# SPDX-License-Identifier: GPL-2.0-or-later
"""How much the source table takes."""

from typing import NamedTuple


class Capacity(NamedTuple):
    """How many rules there may be, and entries of each family: of rules, sets and protection."""

    rules: int = 262_144
    ipv4: int = 1_048_576
    ipv6: int = 262_144

    @property
    def entries(self) -> dict[int, int]:
        """By family."""
        return {4: self.ipv4, 6: self.ipv6}
