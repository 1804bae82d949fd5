# SPDX-License-Identifier: GPL-2.0-or-later
"""How many rules that let packets pass may match the same packet."""

from collections.abc import Iterable

from xdpctl.abi.constants import BITMAP_WORDS, Constants
from xdpctl.errors import CapacityError
from xdpctl.model.match.overlap import overlap
from xdpctl.model.rule import Rule, automatic

# How many limits and monitored rules may match one packet. Each takes one of
# SIGNATURE_STEPS_MAX steps, as does each word of the bitmap. Some are reserved for operators.
CROWD = Constants.SIGNATURE_STEPS_MAX - BITMAP_WORDS - 2
AUTOMATIC_CROWD = CROWD - 16


def check_crowd(rule: Rule, rules: Iterable[Rule]) -> None:
    """CapacityError if too many of them may match the same packet as the new one.

    The kernel program compares a packet with a limited number of rules that let it pass. A new
    one may overlap fewer others than that, so no packet can match more.
    """
    others = (o for o in rules if o.lets_pass and o.id != rule.id)
    crowd = sum(overlap(rule.match, other.match) for other in others)
    most = AUTOMATIC_CROWD if automatic(rule) else CROWD
    if crowd >= most:
        raise CapacityError(
            f"{crowd} limits and monitored rules may match the same packet as "
            f"{rule.match}; the maximum is {most}. Nothing was applied. Remove some, or name "
            "destinations, so that they do not overlap."
        )
