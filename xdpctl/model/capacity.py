# SPDX-License-Identifier: GPL-2.0-or-later
"""How much the kernel's tables hold: rules on sources, and the flow memory. Values only."""

from typing import Annotated, NamedTuple

from msgspec import Meta

from xdpctl.base.problems import Problems
from xdpctl.base.typed import Seconds, Table

_AGE_MIN, _AGE_MAX = 60.0, 7 * 86400.0
FLOWS_A_BLOCK = 8  # at this number, 6 of 100,000 unknown flows are taken for known ones


class Capacity(NamedTuple):
    """The maximum number of rules, and of entries by family (of rules, sets and protection)."""

    rules: int = 262_144
    ipv4: int = 1_048_576
    ipv6: int = 262_144

    @property
    def entries(self) -> dict[int, int]:
        """The maximum number of entries by family, 4 and 6."""
        return {4: self.ipv4, 6: self.ipv6}


class FlowSettings(Table, frozen=True):
    """`[flow_memory]`.

    `flows` is the number of flows that a generation has room for, and `age` the seconds after which
    the next one begins. `new_per_source` is how many new flows a second one inside address may
    teach (0: any number). With `quic`, a flow is known if it uses a connection ID that a QUIC
    server inside has chosen.
    """

    flows: Annotated[int, Meta(ge=1_000, le=32_000_000)] = 1_000_000
    age: Seconds = 1800.0
    new_per_source: Annotated[float, Meta(ge=0, le=1_000_000)] = 2_000.0
    quic: bool = True

    def check(self, place: str, problems: Problems) -> None:
        """Refuse an age out of range, and a budget of less than one flow a second."""
        if not _AGE_MIN <= self.age <= _AGE_MAX:
            problems.add(f"{place}.age must be {_AGE_MIN:g} s to {_AGE_MAX / 86400:g} days")
        if 0 < self.new_per_source < 1:
            problems.add(f"{place}.new_per_source must be 0 (any number) or at least 1")

    @property
    def blocks_log2(self) -> int:
        """The binary logarithm of the number of blocks, which both generations share."""
        return max(0, (self.flows - 1) // FLOWS_A_BLOCK).bit_length()
