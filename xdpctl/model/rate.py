# SPDX-License-Identifier: GPL-2.0-or-later
"""The rate of a limit, and what shares it. Values only."""

import re
from typing import NamedTuple

import msgspec

from xdpctl.base.durations import parse_duration
from xdpctl.errors import RuleError

BURST_MIN, BURST_MAX = 0.05, 60.0  # seconds; the clock's tick is up to 0.01
PPS_MAX = 1_000_000_000
_EXACT = 100.0  # a larger rate is shown without decimals
_BPS_MIN, BPS_MAX = 1_000, 1_000_000_000_000
_FIX = "write all, source, destination, source/24,/56 or destination+source/24"


class _End(NamedTuple):
    """Source or destination: the fields of a Rate, the default lengths, and the longest ones."""

    fields: tuple[str, str]
    whole: tuple[int, int]
    longest: tuple[int, int]


_ENDS = {
    "destination": _End(("to_ipv4", "to_ipv6"), (32, 128), (32, 128)),
    "source": _End(("per_ipv4", "per_ipv6"), (32, 64), (32, 64)),
}


class Rate(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """A rate limit in packets or bits a second, for all packets together or for each address.

    Each source prefix of the length `per_ipv4` or `per_ipv6` has a limit of its own, and so has
    each destination prefix of the length `to_ipv4` or `to_ipv6`. With both, each pair has one. If
    all are 0, there is one limit for all packets. `burst` is the number of seconds whose packets
    may come at once. If it is `final`, packets within the limit are not matched against later rules
    (RFC 8955 section 5.1). RuleError if a field is out of range.
    """

    pps: float = 0.0
    bps: float = 0.0
    burst: float = 0.1
    per_ipv4: int = 0
    per_ipv6: int = 0
    to_ipv4: int = 0
    to_ipv6: int = 0
    final: bool = False

    def __post_init__(self) -> None:
        if (self.pps > 0) == (self.bps > 0):
            fix = "give a rate above 0, in packets: pps (--pps), or in bits: bps (--bps)"
            raise RuleError("a limit must be either in packets or in bits", "limit", fix)
        if self.pps and not 0.1 <= self.pps <= PPS_MAX:
            raise RuleError(
                f"a limit cannot be {self.pps:g} packets/s",
                "limit.pps",
                f"give 0.1 to {PPS_MAX:,}",
            )
        if self.bps and not _BPS_MIN <= self.bps <= BPS_MAX:
            fix = f"give {_BPS_MIN:,} to {BPS_MAX:,}"
            raise RuleError(f"a limit cannot be {self.bps:g} bits/s", "limit.bps", fix)
        if not BURST_MIN <= self.burst <= BURST_MAX:
            fix = f"give {BURST_MIN:g} to {BURST_MAX:g} seconds"
            raise RuleError(f"a burst cannot be {self.burst:g} s", "limit.burst", fix)
        for name, end in _ENDS.items():
            longest = zip(self._lengths(end), end.longest, strict=True)
            if not all(0 <= length <= most for length, most in longest):
                fix = f"give {name}, or a length of at most /{end.longest[0]},/{end.longest[1]}"
                raise RuleError("the prefix length of a limit is out of range", "limit.per", fix)

    def _lengths(self, end: _End) -> tuple[int, int]:
        ipv4, ipv6 = (getattr(self, field) for field in end.fields)
        return ipv4, ipv6

    @property
    def by_source(self) -> bool:
        """Whether each source prefix has its own limit, alone or with each destination."""
        return bool(self.per_ipv4 or self.per_ipv6)

    @property
    def shared(self) -> bool:
        """Whether there is one limit for all packets."""
        return not (self.per_ipv4 or self.per_ipv6 or self.to_ipv4 or self.to_ipv6)

    @property
    def per(self) -> str:
        """What shares the rate, as text that `read_per` takes."""
        return "+".join(_part(name, self._lengths(end)) for name, end in self._ends()) or "all"

    def _ends(self) -> list[tuple[str, _End]]:
        return [(name, end) for name, end in _ENDS.items() if any(self._lengths(end))]

    def __str__(self) -> str:
        """The limit as text, such as `10,000 pps per source`."""
        number, unit = (self.pps, "pps") if self.pps else (self.bps, "bps")
        whole = number.is_integer() or number >= _EXACT
        rate = f"{number:,.0f} {unit}" if whole else f"{number:g} {unit}"
        shared = "" if self.per == "all" else f" per {self.per}"
        return f"{rate}{shared}{', final' if self.final else ''}"


def does(action: str, limit: Rate | None) -> str:
    """What a rule does, in words: `drop`, or `limit to 10,000 pps per source`."""
    return f"{action} to {limit}" if limit else action


def _part(name: str, lengths: tuple[int, int]) -> str:
    if lengths == _ENDS[name].whole:
        return name
    same = lengths[1] == _ENDS[name].whole[1]
    return f"{name}/{lengths[0]}" + ("" if same else f",/{lengths[1]}")


def read_rate(
    pps: float, bps: float, burst: float | str = 0.1, per: str = "all", final: bool = False
) -> Rate:
    """A rate from its parts as users write them; RuleError names the part that is not valid.

    `burst` is in seconds or a duration; `per` is what `read_per` takes.
    """
    seconds = parse_duration(burst, "limit.burst") if isinstance(burst, str) else burst
    return Rate(pps, bps, seconds, **read_per(per), final=final)


def read_per(per: str) -> dict[str, int]:
    """The fields of a Rate for what shares it.

    `all`, or `source` and `destination` joined by `+`, each with the lengths of prefixes if they
    are not whole: `destination+source/24,/56`. `/24` means `source/24`. The length of IPv6 may be
    left out.
    """
    if per == "all":
        return {}
    fields: dict[str, int] = {}
    for part in per.split("+"):
        name, slash, lengths = part.partition("/")
        end = _ENDS.get(name.strip() or "source")
        if end is None or end.fields[0] in fields or not (name.strip() or slash):
            raise RuleError(f"per cannot be {per[:40]!r}", "limit.per", _FIX)
        fields |= zip(end.fields, _read_lengths(slash + lengths, end, per), strict=True)
    return fields


def _read_lengths(text: str, end: _End, per: str) -> tuple[int, int]:
    """The lengths in `/24,/56`, `/24` or an empty text."""
    if not text:
        return end.whole
    parts = [part.strip().removeprefix("/") for part in text.split(",")]
    numbers = [int(part) for part in parts if re.fullmatch("[0-9]{1,3}", part)]
    if len(numbers) != len(parts) or len(parts) > 2 or not all(numbers):
        raise RuleError(f"per cannot be {per[:40]!r}", "limit.per", _FIX)
    return numbers[0], numbers[1] if len(numbers) == 2 else end.whole[1]


def read_amount(text: str, field: str) -> float:
    """The number in a text such as `5000`, `5k`, `100M` or `1.5G`; RuleError names `field`."""
    parsed = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?(?:e[0-9]{1,2})?)([kMG]?)", text)
    if not parsed:
        fix = "write a number, or 5k, 100M, 1.5G"
        raise RuleError(f"{text[:40]!r} is not an amount", field, fix)
    return float(parsed[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[parsed[2]]
