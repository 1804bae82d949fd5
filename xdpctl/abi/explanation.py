# SPDX-License-Identifier: GPL-2.0-or-later
"""What the explain program says of one packet: in a map, and in what it returns."""

import struct
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from xdpctl.abi.structs import REASON_BITS, TOLD, Constants, Reason


class PackedVerdict(NamedTuple):
    """What the explain program returns: the reason, and the slot that decided, if one did."""

    reason: Reason
    slot: int

    @classmethod
    def of(cls, value: int) -> "PackedVerdict":
        """Split the program's return value."""
        return cls(Reason(value & (1 << REASON_BITS) - 1), (value & TOLD - 1) >> REASON_BITS)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the explain program found: the reason, the slots that matched, in order, and those of
    signatures that match behind the one that decided.
    """

    C_NAME: ClassVar[str] = "explanation"
    SIZE: ClassVar[int] = 4 * (3 + 2 * Constants.EXPLANATION_SLOTS_MAX)

    reason: Reason
    slots: tuple[int, ...]
    behind: tuple[int, ...] = ()

    @classmethod
    def unpack(cls, data: bytes) -> "Explanation":
        """Read the bytes of struct explanation."""
        reason, met, *rest = struct.unpack(f"={cls.SIZE // 4}I", data)
        slots, (more, *behind) = (
            rest[: Constants.EXPLANATION_SLOTS_MAX],
            rest[Constants.EXPLANATION_SLOTS_MAX :],
        )
        return cls(Reason(reason), tuple(slots[:met]), tuple(behind[:more]))
