# SPDX-License-Identifier: GPL-2.0-or-later
"""The detector's own report, which it writes once a second; the control plane reads it."""

import time
from pathlib import Path

import msgspec

from xdpctl.base.system.owned_folder import read_file
from xdpctl.detectors.builtin.hold import Hold

_BYTES_MAX = 8 << 20
SILENT_SECONDS = 10.0
HOLDS_SHOWN, STRATA_SHOWN = 100, 200


class StratumSeen(msgspec.Struct, frozen=True):
    """Packets of a kind to a destination, in packets a second."""

    victim: str
    kind: str
    rate: float
    threshold: float
    usual: float
    mode: str


class DetectorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the detector does now. `beat` is CLOCK_MONOTONIC, `since` Unix time.

    `normal` has how many packets of normal traffic are kept, by kind. `strata` are those that are
    more than usual, and those of which a normal rate is known.
    """

    pid: int
    beat: float
    mode: str
    since: float
    learning: float  # seconds left, in which only what is unsolicited is dropped
    overrun: int
    taught: bool
    normal: dict[str, int]
    strata: list[StratumSeen] = []
    holds: list[Hold] = []

    @property
    def silent(self) -> bool:
        """Whether it has not reported for a while."""
        return time.monotonic() > self.beat + SILENT_SECONDS


def read_status(path: Path) -> DetectorStatus | None:
    """The last report; None if there is none, or it cannot be read."""
    try:
        return msgspec.json.decode(read_file(path, _BYTES_MAX), type=DetectorStatus)
    except (OSError, ValueError, RecursionError):
        return None
