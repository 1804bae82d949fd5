# SPDX-License-Identifier: GPL-2.0-or-later
"""The plot of an incident as SVG, and its times as text."""

from datetime import UTC, datetime
from typing import Any

from xdpctl.base.units import si

_WIDTH, _HEIGHT = 900.0, 160.0  # of the chart


def chart(rates: list[list[float]]) -> dict[str, Any] | None:
    """The SVG polylines of packets that the rules hit and the host passed; None if too few rows."""
    if len(rates) < 2:
        return None
    first, last = rates[0][0], rates[-1][0]
    most = max(max(row[1], row[3]) for row in rates) or 1.0

    def line(column: int) -> str:
        across = ((row[0] - first) / (last - first or 1.0) * _WIDTH for row in rates)
        up = (_HEIGHT * (1 - row[column] / most) for row in rates)
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))

    ends = {"first": clock(first)[:8], "last": clock(last)[:8], "most": f"{si(most)} packets/s"}
    return {"hit": line(1), "passed": line(3), "width": _WIDTH, "height": _HEIGHT, **ends}


def clock(unix: float) -> str:
    """The time of day in UTC, with milliseconds."""
    return datetime.fromtimestamp(unix, UTC).strftime("%H:%M:%S.%f")[:-3]
