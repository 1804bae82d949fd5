# SPDX-License-Identifier: GPL-2.0-or-later
"""The capacity of the source table."""

from typing import NamedTuple


class Capacity(NamedTuple):
    """The maximum number of rules, and of entries by family (of rules, sets and protection)."""

    rules: int = 262_144
    ipv4: int = 1_048_576
    ipv6: int = 262_144

    @property
    def entries(self) -> dict[int, int]:
        """The maximum number of entries by family, 4 and 6."""
        return {4: self.ipv4, 6: self.ipv6}
