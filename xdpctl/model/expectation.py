# SPDX-License-Identifier: GPL-2.0-or-later
"""Traffic that an operator expects: up to a rate, the embedded detector does nothing about it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import msgspec

from xdpctl.abi.constants import ANSWERS, Traffic
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.errors import RuleError
from xdpctl.model.names import check_name, check_reason

EXPECTATIONS_MAX = 100
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TIMES_MAX, PPS_MAX = 1_000.0, 1e9
SECONDS_MAX = 86_400.0
_YEARS = range(2000, 3000)
_KINDS = tuple(kind.setting for kind in Traffic)


class Expectation(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is expected, and when; times of day are in this host's time zone.

    The limit is `times` the threshold of a kind (the rate above which it may be an attack), or
    `pps` packets a second of a kind in total. An empty `kind` means every kind except those of
    answers (udp_service, syn_ack, rst), and an empty `destination` means all that is protected.
    Without `at` it is always expected, else for `seconds` from then on: each day, on `days` of the
    week, or on the one date `on` (ISO 8601). `check` says whether it is valid.
    """

    name: str
    by: str
    created_at: float  # Unix time
    destination: str = ""
    kind: str = ""
    times: float = 0.0
    pps: float = 0.0
    at: str = ""
    seconds: float = 0.0
    days: tuple[str, ...] = ()
    on: str = ""
    reason: str = ""

    def check(self) -> None:
        """RuleError, with the field, if something is wrong."""
        check_name(self.name, "name")
        check_reason(self.reason)
        if self.destination:
            parse_prefix(self.destination, "destination")
        if self.kind and self.kind not in _KINDS:
            raise RuleError(
                f"there is no kind {self.kind[:40]!r}", "kind", f"use one of {', '.join(_KINDS)}"
            )
        if (self.times > 0) == (self.pps > 0):
            raise RuleError(
                "say up to what rate it is expected",
                "times",
                "give times the usual (5x), or packets/s",
            )
        if not (self.pps <= PPS_MAX and (not self.times or 1 < self.times <= TIMES_MAX)):
            fix = f"give more than 1x to {TIMES_MAX:,.0f}x, or up to {PPS_MAX:,.0f} packets/s"
            raise RuleError("the expected rate is out of range", "times", fix)
        self._check_times()

    def _check_times(self) -> None:
        if not self.at:
            if self.days or self.on or self.seconds:
                what = "days, a date or a duration need a time of day"
                raise RuleError(what, "at", "give one, for example 08:15")
            return
        _time(self.at)
        if not 60 <= self.seconds <= SECONDS_MAX:
            raise RuleError("say for how long it is expected", "lasts", "give 1m to 1d")
        if unknown := [day for day in self.days if day not in DAYS]:
            what = f"{unknown[0][:20]!r} is not a day of the week"
            raise RuleError(what, "days", f"use {', '.join(DAYS)}")
        if self.days and self.on:
            raise RuleError("give days of the week or a date, not both", "on", "leave one out")
        if self.on:
            _date(self.on)

    def now(self, unix: float) -> bool:
        """Whether it is expected at a Unix time."""
        if not self.at:
            return True
        today = datetime.fromtimestamp(unix).astimezone().date()
        return any(
            self._begins(day) <= unix < self._begins(day) + self.seconds
            for day in (today, today - timedelta(days=1))
            if self._is_on(day)
        )

    def _begins(self, day: date) -> float:
        hour, minute = _time(self.at)
        return datetime(day.year, day.month, day.day, hour, minute).astimezone().timestamp()

    def _is_on(self, day: date) -> bool:
        if self.on:
            return day == _date(self.on)
        return not self.days or DAYS[day.weekday()] in self.days

    def over(self, unix: float) -> bool:
        """Whether it will not be expected again."""
        return bool(self.on) and self._begins(_date(self.on)) + self.seconds <= unix

    def __str__(self) -> str:
        most = f"{self.times:g} times the threshold" if self.times else f"{self.pps:,.0f} packets/s"
        of = f" of {self.kind}" if self.kind else ""
        return f"up to {most}{of} to {self.destination or 'all that is protected'}"


@dataclass(frozen=True, slots=True)
class Raise:
    """What raises thresholds at this moment; `prefix` None: for all that is protected."""

    prefix: Prefix | None
    kind: str
    times: float
    pps: float

    def __call__(self, destination: Prefix, kind: Traffic, threshold: float) -> float:
        """The threshold of a kind to a destination, raised by what is expected."""
        # people never send kinds that only come as answers, so an expectation must name these kinds
        if self.kind != kind.setting and (self.kind or kind in ANSWERS):
            return threshold
        if self.prefix and not self.prefix.covers(destination):
            return threshold
        return max(threshold, self.pps, self.times * threshold)


Raises = tuple[Raise, ...]


def raises(expectations: Iterable[Expectation], unix: float) -> Raises:
    """What is expected at a Unix time."""
    return tuple(
        Raise(
            parse_prefix(expectation.destination) if expectation.destination else None,
            expectation.kind,
            expectation.times,
            expectation.pps,
        )
        for expectation in expectations
        if expectation.now(unix)
    )


def raised(current: Raises, destination: Prefix, kind: Traffic, threshold: float) -> float:
    """A threshold, raised by what is expected."""
    return max((expected(destination, kind, threshold) for expected in current), default=threshold)


def _time(text: str) -> tuple[int, int]:
    try:
        time_of_day = datetime.strptime(text, "%H:%M")
    except ValueError:
        raise RuleError(f"{text[:20]!r} is not a time of day", "at", "write it as 08:15") from None
    return time_of_day.hour, time_of_day.minute


def _date(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.year not in _YEARS:
        raise RuleError(f"{text[:20]!r} is not a date", "on", "write it as 2026-12-01")
    return day


encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Expectation)


def decode(value: bytes) -> Expectation:
    """The stored expectation; ValueError or RuleError if it is unreadable."""
    expectation = _decoder.decode(value)
    expectation.check()
    return expectation
