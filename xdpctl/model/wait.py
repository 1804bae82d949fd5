# SPDX-License-Identifier: GPL-2.0-or-later
"""What the answer to a change waits for, in a fleet."""

from enum import StrEnum


class Wait(StrEnum):
    """What an answer waits for.

    local: this node; majority: the engine, which then keeps it; all: every node that reports.
    """

    LOCAL = "local"
    MAJORITY = "majority"
    ALL = "all"
