# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether sources of what goes out are validated (RFC 2827), as bpf/validate.bpf.h reads it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from xdpctl.abi.constants import Validation
from xdpctl.abi.sizes import OUTSIDES_MAX


class ValidationWord:
    """What the program at TC egress does about forged sources; `control` is its record.

    `losses` counts how often a network has lost its side in this process; `fell_back`: forged
    sources were dropped until one did.
    """

    def __init__(self, control: Any) -> None:
        self._control = control
        self.losses, self.fell_back = 0, False

    def read(self) -> Validation:
        """What it does now; another program may have written anything."""
        held = int(self._control["validating"])
        return Validation(min(held, Validation.ENFORCE))

    def lost(self) -> None:
        """A network has lost its side: drop nothing until it is known whether it is in use."""
        self.losses += 1
        if self.read() is Validation.ENFORCE:
            self.fell_back = True
            self._control["validating"] = Validation.MONITOR

    def set(self, how: Validation, outsides: Sequence[int]) -> None:
        """Change it. What came in by an interface of `outsides` (indexes) is not validated.

        ValueError if these are more than OUTSIDES_MAX.
        """
        held = np.zeros(OUTSIDES_MAX, np.uint32)
        if len(outsides) > OUTSIDES_MAX:
            raise ValueError(f"{len(outsides)} interfaces are outside, {OUTSIDES_MAX} at most")
        held[: len(outsides)] = outsides
        if how is Validation.NOT:
            self._control["validating"] = how
        self._control["outsides"] = held  # before anything is validated
        self._control["validating"] = how
