# SPDX-License-Identifier: GPL-2.0-or-later
"""Places among the matches of the kernel."""

from xdpctl.abi.constants import Constants, SlotNumber
from xdpctl.control.state.draft import Draft
from xdpctl.errors import CapacityError, QuotaError
from xdpctl.model.rule import OPERATOR, STANDING, automatic

_RESERVED = 256  # places that are reserved for operators


def free_slot(draft: Draft, origin: str = OPERATOR) -> int:
    """A free slot. CapacityError if none is left; QuotaError if only reserved ones are left."""
    matches = draft.matches().values()
    if origin not in (OPERATOR, *STANDING):
        others = sum(map(automatic, matches))
        if others >= Constants.SIGNATURES_MAX - _RESERVED:
            raise QuotaError(
                f"detectors have {others} rules on matches; the other {_RESERVED} are reserved for "
                "operators",
                "match",
                "wait until some end, or merge them: a component takes many values",
            )
    taken = {rule.slot for rule in (*matches, *draft.state.matches.values())}
    numbers = range(SlotNumber.SIGNATURES, SlotNumber.SETS)
    for number in numbers:
        if number not in taken:
            return number
    raise CapacityError(
        f"there are {len(numbers)} rules on matches, which is the maximum; nothing was applied. "
        "Remove some, or merge them: a component takes many values."
    )
