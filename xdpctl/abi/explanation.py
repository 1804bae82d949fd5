# SPDX-License-Identifier: GPL-2.0-or-later
"""The explain program's result for one packet: a map value, and its return value."""

import struct
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from xdpctl.abi.constants import Constants, Reason
from xdpctl.abi.sizes import REASON_BITS, TOLD


def stops(value: int) -> bool:
    """Whether the packet does not pass, by the return value of any version's explain program."""
    return bool(value & TOLD << 1)


def slot_of(value: int) -> int:
    """The slot that decided, or SLOT_NONE, by the return value of any version's program."""
    return (value & TOLD - 1) >> REASON_BITS


class PackedVerdict(NamedTuple):
    """The explain program's return value: the reason, and the deciding slot or SLOT_NONE."""

    reason: Reason
    slot: int

    @classmethod
    def of(cls, value: int) -> "PackedVerdict":
        """Split the program's return value."""
        return cls(Reason(value & (1 << REASON_BITS) - 1), slot_of(value))


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the explain program found: the reason, the slots that matched, in order, and the
    slots of rules that also match but come after the one that decided (`behind`).
    """

    C_NAME: ClassVar[str] = "explanation"
    SIZE: ClassVar[int] = 4 * (3 + 2 * Constants.EXPLANATION_SLOTS_MAX)

    reason: Reason
    slots: tuple[int, ...]
    behind: tuple[int, ...] = ()

    @classmethod
    def unpack(cls, data: bytes) -> "Explanation":
        """Read the bytes of struct explanation."""
        reason, slot_count, *rest = struct.unpack(f"={cls.SIZE // 4}I", data)
        slots, (behind_count, *behind) = (
            rest[: Constants.EXPLANATION_SLOTS_MAX],
            rest[Constants.EXPLANATION_SLOTS_MAX :],
        )
        return cls(Reason(reason), tuple(slots[:slot_count]), tuple(behind[:behind_count]))
