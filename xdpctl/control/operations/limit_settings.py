# SPDX-License-Identifier: GPL-2.0-or-later
"""`[[limits]]` of the configuration file."""

from typing import Annotated

from msgspec import Meta, field

from xdpctl.base.typed import LARGEST, Problems, Table
from xdpctl.control.operations.default_limits import DefaultLimit
from xdpctl.model.effect import Mode, Spare
from xdpctl.model.match.match import build
from xdpctl.model.match.text import parse
from xdpctl.model.names import check_reason
from xdpctl.model.rate import Rate, read_rate

Number = Annotated[float, Meta(ge=0, le=LARGEST)]
_Whole = Annotated[int, Meta(ge=0, le=LARGEST)]
_Length = Annotated[int, Meta(ge=0, le=128)]


class RateSettings(Table, frozen=True):
    """A rate: `pps` or `bps`; `per` is what model.rate.read_per takes."""

    pps: Number | None = None
    bps: Number | None = None
    per: str | _Length = "all"
    burst: Number | str = 0.1

    def rate(self) -> Rate:
        """The rate; RuleError if it is not valid."""
        per = self.per if isinstance(self.per, str) else f"source/{self.per}"
        return read_rate(self.pps or 0.0, self.bps or 0.0, self.burst, per)


class LimitSettings(RateSettings, frozen=True):
    match: str | dict[str, str | _Whole] = field(default_factory=dict)
    mode: Mode = Mode.ENFORCE
    spare: Spare | None = None
    reason: str = ""

    def check(self, place: str, problems: Problems) -> None:
        """Refuse a match, a rate or a reason that is not valid."""
        with problems.at(place):
            self.limit()

    def limit(self) -> DefaultLimit:
        """The limit; RuleError if the match, the rate or the reason is not valid."""
        match = parse(self.match) if isinstance(self.match, str) else build(self.match)
        check_reason(self.reason)
        return DefaultLimit(match, self.rate(), self.mode, self.spare, self.reason)
