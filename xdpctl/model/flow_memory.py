# SPDX-License-Identifier: GPL-2.0-or-later
"""The sizes of the flow memory. Values only."""

from dataclasses import dataclass

FLOWS_A_BLOCK = 8  # with so many, 6 of 100,000 unknown flows are taken for known ones


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """`[flow_memory]` of the configuration.

    `flows` is the number that a generation has room for, `age` the seconds after which the next one
    begins, and `new_per_source` how many new flows a second one inside address may teach (0: any
    number). `quic`: who uses the connection ID that a QUIC server inside has chosen is known.
    """

    flows: int = 1_000_000
    age: float = 1800.0
    new_per_source: float = 2_000.0
    quic: bool = True

    @property
    def blocks_log2(self) -> int:
        """The binary logarithm of the number of blocks, which both generations share."""
        return max(0, (self.flows - 1) // FLOWS_A_BLOCK).bit_length()
