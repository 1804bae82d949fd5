# SPDX-License-Identifier: GPL-2.0-or-later
"""The `[[limits]]` tables of the configuration file."""

from typing import Annotated

from msgspec import Meta, Struct

from xdpctl.base.typed import LARGEST, Problems
from xdpctl.control.operations.default_limits import DefaultLimit
from xdpctl.model.effect import Mode, Spare
from xdpctl.model.match.match import build
from xdpctl.model.match.text import parse
from xdpctl.model.names import check_reason
from xdpctl.model.rate import Rate, read_rate

Number = Annotated[float, Meta(ge=0, le=LARGEST)]
_Whole = Annotated[int, Meta(ge=0, le=LARGEST)]
_Length = Annotated[int, Meta(ge=0, le=128)]


class RateTable(Struct, frozen=True, forbid_unknown_fields=True):
    """A rate: `pps` or `bps`; `per` is what model.rate.read_per takes."""

    pps: Number | None = None
    bps: Number | None = None
    per: str | _Length = "all"
    burst: Number | str = 0.1

    def rate(self) -> Rate:
        """The rate; RuleError if it is not valid."""
        per = self.per if isinstance(self.per, str) else f"source/{self.per}"
        return read_rate(self.pps or 0.0, self.bps or 0.0, self.burst, per)


class LimitTable(RateTable, frozen=True, forbid_unknown_fields=True):
    """One `[[limits]]` table as it is written."""

    match: str | dict[str, str | _Whole] = {}
    mode: Mode = Mode.ENFORCE
    spare: Spare | None = None
    reason: str = ""

    def settings(self) -> DefaultLimit:
        """The limit; RuleError if the match or the rate is not valid."""
        match = parse(self.match) if isinstance(self.match, str) else build(self.match)
        check_reason(self.reason)
        return DefaultLimit(match, self.rate(), self.mode, self.spare, self.reason)


def read_limits(tables: list[LimitTable], problems: Problems) -> tuple[DefaultLimit, ...]:
    """The limits that are valid; errors of the others are added to `problems`."""
    found: dict[str, DefaultLimit] = {}
    for number, table in enumerate(tables, 1):
        with problems.at(f"limits[{number}]"):
            limit = table.settings()
            if limit.match.id in found:
                problems.add(f"limits[{number}] has the same match as an earlier one")
            found.setdefault(limit.match.id, limit)
    return tuple(found.values())
