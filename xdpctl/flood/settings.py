# SPDX-License-Identifier: GPL-2.0-or-later
"""`[detect]` of the configuration file."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, field

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.problems import Problems
from xdpctl.base.typed import Seconds, Table, unknown

_LEARNING = 600.0
_OF_NO_FLOW = 5_000.0  # TCP packets a second to one destination that belong to no known flow
_PREFIXES_MAX = 256
_KINDS = [kind.setting for kind in Traffic]
_BY_KIND = Meta(extra_json_schema={"propertyNames": {"enum": _KINDS}})
_ANYWHERE = Prefix(bytes(4), 0)
FLOORS = {
    Traffic.SYN: 1_000.0,
    Traffic.SYN_ACK: 500.0,
    Traffic.RST: 1_000.0,
    Traffic.TCP: 20_000.0,
    Traffic.UDP_SERVICE: 2_000.0,
    Traffic.UDP: 5_000.0,
    Traffic.ICMP: 500.0,
    Traffic.FRAGMENT: 500.0,
    Traffic.QUIC_INITIAL: 3_000.0,
    Traffic.DNS_QUERY: 3_000.0,
    Traffic.GRE: 1_000.0,
    Traffic.ESP: 1_000.0,
    Traffic.OTHER: 1_000.0,
}  # packets a second to one destination; fewer are never an attack
_Floor = Annotated[float, Meta(ge=10, le=1e9)]


class Most(StrEnum):
    """The most that the detector may do: nothing, observe with rules in monitor mode, limit, drop.

    A challenge counts as a limit.
    """

    OFF = "off"
    OBSERVE = "observe"
    LIMIT = "limit"
    DROP = "drop"


class Part(Table, frozen=True):
    """`[[detect.prefixes]]`: other settings for destinations in a prefix.

    What is not given is inherited. `floors` and `modes` are by kind of packets.
    """

    prefix: Prefix
    mode: Most | None = None
    floors: Annotated[dict[str, _Floor], _BY_KIND] = field(default_factory=dict)
    modes: Annotated[dict[str, Most], _BY_KIND] = field(default_factory=dict)

    def check(self, place: str, problems: Problems) -> None:
        """Refuse unknown kinds."""
        _check_kinds(self.floors, f"{place}.floors", problems)
        _check_kinds(self.modes, f"{place}.modes", problems)


class DetectSettings(Table, frozen=True):
    """`[detect]`, the embedded detector.

    In its first `learning` seconds it drops only answers that nobody asked for. Of `prefixes`, the
    longest that covers a destination decides. `floors` are packets a second to one destination,
    below which nothing is an attack; they and `modes` are by kind of packets. `attackers_pps` are
    the packets a second that a host inside may send of its attack on others; None: it is only told.
    """

    mode: Most = Most.DROP
    learning: Seconds = _LEARNING
    attackers_pps: Annotated[int, Meta(ge=10, le=1_000_000)] | None = None
    floors: Annotated[dict[str, _Floor], _BY_KIND] = field(default_factory=dict)
    modes: Annotated[dict[str, Most], _BY_KIND] = field(default_factory=dict)
    prefixes: Annotated[tuple[Part, ...], Meta(max_length=_PREFIXES_MAX)] = ()

    def check(self, place: str, problems: Problems) -> None:
        """Refuse unknown kinds."""
        _check_kinds(self.floors, f"{place}.floors", problems)
        _check_kinds(self.modes, f"{place}.modes", problems)

    def _for(self, destination: Prefix) -> "list[Part | DetectSettings]":
        """The settings that apply to a destination, the most specific first."""
        over = [part for part in self.prefixes if part.prefix.covers(destination)]
        return [*sorted(over, key=lambda part: -part.prefix.length), self]

    def floor(self, destination: Prefix, kind: Traffic, taught: bool = False) -> float:
        """The packets a second of this kind below which nothing is an attack.

        `taught`: known flows are recognised, so few packets of real connections are left.
        """
        name = kind.setting
        floors = (part.floors[name] for part in self._for(destination) if name in part.floors)
        return next(floors, _OF_NO_FLOW if taught and kind is Traffic.TCP else FLOORS[kind])

    def least_floor(self, kind: Traffic, taught: bool) -> float:
        """The lowest floor of a kind anywhere."""
        name = kind.setting
        floors = [part.floors[name] for part in self.prefixes if name in part.floors]
        return min([*floors, self.floor(_ANYWHERE, kind, taught)])

    def most(self, destination: Prefix, kind: Traffic) -> Most:
        """The most that may be done about this kind; if the detector is off, nothing."""
        if self.mode is Most.OFF:
            return Most.OFF
        for part in self._for(destination):
            if kind.setting in part.modes:
                return part.modes[kind.setting]
            if part.mode is not None:
                return part.mode
        return self.mode


def _check_kinds(names: Iterable[str], place: str, problems: Problems) -> None:
    for name in names:
        if name not in _KINDS:
            problems.add(unknown(name[:80], _KINDS, place))
