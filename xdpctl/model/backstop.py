# SPDX-License-Identifier: GPL-2.0-or-later
"""Backstops: permanent limits for each protected prefix and class of packets. Pure."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, field

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.problems import Problems
from xdpctl.base.typed import LARGEST, Table, unknown
from xdpctl.model.match.match import Match, build
from xdpctl.model.rate import PPS_MAX, Rate

BACKSTOP = "backstop"  # the origin of these limits
PREFIXES_MAX = 32
_BURST = 1.0  # seconds
# by class: the components of its packets, and the least limit that is learnt, in packets a second
CLASSES: Mapping[str, tuple[Mapping[str, str], float]] = {
    "syn": ({"protocol": "tcp", "tcp_flags": "syn&!ack"}, 1_000),
    "syn_ack": ({"protocol": "tcp", "tcp_flags": "syn+ack"}, 500),
    "rst": ({"protocol": "tcp", "tcp_flags": "rst"}, 1_000),
    "tcp": ({"protocol": "tcp", "tcp_flags": "!syn&!rst"}, 20_000),
    "udp": ({"protocol": "udp"}, 5_000),
    "icmp": ({"protocol": "icmp"}, 500),
    "fragment": ({"fragment": "later"}, 500),
}
_FACTOR = 10.0  # times the best second
_Pps = Annotated[float, Meta(ge=0, le=LARGEST)]
_BY_CLASS = Meta(extra_json_schema={"propertyNames": {"enum": list(CLASSES)}})


class BackstopSettings(Table, frozen=True):
    """`[backstop]`.

    `limits` has the configured packets a second, by class. With `learn`, the limit of each other
    class is ten times the best second of the week that ended a day ago.
    """

    learn: bool = False
    limits: Annotated[dict[str, _Pps], _BY_CLASS] = field(default_factory=dict)

    def check(self, place: str, problems: Problems) -> None:
        """Refuse unknown classes, and rates that no limit can have."""
        for name, pps in self.limits.items():
            if name not in CLASSES:
                problems.add(unknown(name[:80], CLASSES, f"{place}.limits"))
                continue
            with problems.at(f"{place}.limits.{name}"):
                Rate(pps=pps)

    @property
    def any(self) -> bool:
        """Whether there are backstops at all."""
        return self.learn or bool(self.limits)


@dataclass(frozen=True, slots=True)
class Backstop:
    """One limit: its match, its rate, and where it comes from, in words."""

    match: Match
    rate: Rate
    reason: str


def match_of(prefix: Prefix, name: str) -> Match:
    """The packets of a class to a prefix."""
    parts = dict(CLASSES[name][0])
    if parts.get("protocol") == "icmp" and prefix.family == 6:
        parts["protocol"] = "icmpv6"
    return build({"destination": str(prefix), **parts})


def backstops(
    settings: BackstopSettings,
    prefixes: Iterable[Prefix],
    best: Mapping[tuple[Prefix, str], float],
) -> Iterator[Backstop]:
    """The limits for these prefixes; `best` has the best second by prefix and class.

    A class with neither a configured limit nor a known best second has no limit.
    """
    for prefix in sorted(prefixes)[:PREFIXES_MAX]:
        for name, (_, least) in CLASSES.items():
            best_pps = best.get((prefix, name)) if settings.learn else None
            if name in settings.limits:
                pps, why = settings.limits[name], "as configured"
            elif best_pps is not None:
                pps = min(max(least, rounded(_FACTOR * best_pps)), PPS_MAX)
                why = f"{_FACTOR:g} times the best second seen, {best_pps:,.0f} packets"
            else:
                continue
            reason = f"backstop: always stands; {why}"
            yield Backstop(match_of(prefix, name), Rate(pps=pps, burst=_BURST), reason)


def rounded(number: float) -> float:
    """Round up to two significant digits, so that a limit seldom changes."""
    if number <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return float(math.ceil(number / unit - 1e-9) * unit)
