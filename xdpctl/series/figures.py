# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures that are recorded each second: their names and sources."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import Reason, Traffic
from xdpctl.abi.structs import Hits
from xdpctl.base.net.interfaces import carried
from xdpctl.model.match.components import TCP, UDP
from xdpctl.series.ring_file import Values

REASONS = tuple(reason for reason in Reason if reason is not Reason.NONE)
_VERDICTS = ("pass", "drop")
RATES = (
    *(f"{verdict}_{unit}" for verdict in _VERDICTS for unit in ("packets", "bits")),
    *(f"{reason.name.lower()}_{unit}" for reason in REASONS for unit in ("packets", "bits")),
)  # a second
OF_INTERFACE = (*RATES[:4], "driver_drops", "link_share")
GAUGES = ("rules", "matches", "sets", "incidents", "softirq")
KINDS = tuple(f"{each.name.lower()}_{unit}" for unit in ("packets", "bits") for each in Traffic)
SERVED = {TCP: "newcomers", UDP: "answers"}  # by protocol, a second
OF_HOST = (*RATES, *GAUGES, "driver_drops", "not_sampled", *SERVED.values(), *KINDS)
_NET, _STAT = Path("/sys/class/net"), Path("/proc/stat")
# not rx_dropped: some drivers count there what the filter drops
_LOST = ("rx_missed_errors", "rx_over_errors", "rx_fifo_errors")
Counters = Mapping[Reason, Hits]
Counts = NDArray[np.float64]


class Rates:
    """Turns counters that only grow into rates; the first reading gives none."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[float, Counts]] = {}

    def of(self, name: str, now: float, counts: Counts) -> Values:
        """The rates a second since the last call; 0 where a counter began anew.

        NaN where a counter is not known now, or was not known at the last call.
        """
        at, before = self._before.get(name, (now, counts))
        self._before[name] = now, counts
        if now <= at or len(before) != len(counts):
            return np.full(len(counts), np.nan, np.float32)
        return np.asarray(np.maximum(counts - before, 0) / (now - at), np.float32)


def counts(by_reason: Counters) -> Counts:
    """The counters of an interface, in the order of RATES; bits instead of bytes."""
    nothing = Hits(0, 0)
    in_order = [by_reason.get(reason, nothing) for reason in REASONS]
    pairs = np.array([(hits.packets, 8 * hits.bytes) for hits in in_order], np.float64)
    drops = np.array([reason.verdict == "drop" for reason in REASONS])
    sums = [pairs[~drops].sum(0), pairs[drops].sum(0)]
    return np.concatenate([*sums, pairs.reshape(-1)])


def by_kind(volumes: Counts) -> Counts:
    """The volumes of kinds in the order of KINDS; bits instead of bytes."""
    return np.concatenate([volumes[:, 0], 8 * volumes[:, 1]])


def known(values: Values) -> list[float | None]:
    """The values for JSON; None where nothing is known."""
    finite = np.isfinite(values).tolist()
    rounded = np.round(values.astype(np.float64), 3).tolist()
    return [value if is_known else None for value, is_known in zip(rounded, finite, strict=True)]


def driver_drops(interface: str) -> float:
    """The packets that the driver or the device dropped before the filter; NaN if unknown."""
    return sum(_read(_NET / interface / "statistics" / name) for name in _LOST)


def sent(interface: str) -> tuple[float, float]:
    """The packets and bytes that an interface has sent so far; NaN if unknown."""
    counted = carried(interface)
    if counted is None:
        return float("nan"), float("nan")
    return float(counted.packets_sent), float(counted.bytes_sent)


def link_bits(interface: str) -> float:
    """The bits a second of a link; NaN if the driver does not know."""
    speed = _read(_NET / interface / "speed")
    return speed * 1e6 if speed > 0 else float("nan")


def _read(path: Path) -> float:
    try:
        return float(path.read_text())
    except (OSError, ValueError):  # the interface is gone, or its driver does not know
        return float("nan")


def softirq_ticks() -> tuple[float, float]:
    """The time in soft interrupts, and all time, of all CPUs so far, in ticks (proc_stat(5))."""
    ticks = [float(column) for column in _STAT.read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[6], sum(ticks)
