# SPDX-License-Identifier: GPL-2.0-or-later
"""The detector's own report, which it writes once a second; the control plane reads it."""

import os
import time
from pathlib import Path

import msgspec
from msgspec import structs

from xdpctl.abi.constants import Traffic
from xdpctl.base.system.owned_folder import read_file
from xdpctl.errors import RuleError
from xdpctl.flood.engine import Engine
from xdpctl.flood.mitigation import Mitigation

_BYTES_MAX = 8 << 20
SILENT_SECONDS = 10.0


class DetectorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the detector does now. `beat` is CLOCK_MONOTONIC, `since` Unix time.

    `normal` has how many packets of normal traffic are kept, by kind.
    """

    pid: int
    beat: float
    mode: str
    since: float
    learning: float  # seconds left, in which only what is unsolicited is dropped
    overrun: int
    taught: bool
    normal: dict[str, int]
    mitigations: list[Mitigation] = []

    @property
    def silent(self) -> bool:
        """Whether it has not reported for a while, or not since the host was started."""
        return not 0 <= time.monotonic() - self.beat <= SILENT_SECONDS


def read_status(path: Path) -> DetectorStatus | None:
    """The last report; None if there is none, or it cannot be read."""
    try:
        report = msgspec.json.decode(read_file(path, _BYTES_MAX), type=DetectorStatus)
        for mitigation in report.mitigations:
            mitigation.check()
    except (OSError, ValueError, RecursionError, RuleError):
        return None
    return report


def status(engine: Engine, overrun: int, now: float) -> DetectorStatus:
    """What the detector reports about itself at the monotonic time `now`."""
    settings = engine.settings
    return DetectorStatus(
        pid=os.getpid(),
        beat=now,
        mode=settings.mode.value,
        since=engine.usual.since,
        learning=max(0.0, settings.learning - engine.usual.observed),
        overrun=overrun,
        taught=engine.taught,
        normal={
            kind.setting: sum(engine.normal.of_family(family).count(kind) for family in (4, 6))
            for kind in Traffic
        },
        mitigations=[structs.replace(mitigation) for mitigation in engine.mitigations.active],
    )
