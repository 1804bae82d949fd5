# SPDX-License-Identifier: GPL-2.0-or-later
"""`[detect]` of the configuration file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.typed import Duration, Problems, read_prefixes, read_seconds

_LEARNING = 600.0
_OF_NO_FLOW = 5_000.0  # TCP packets a second to one destination, of no known flow
_PREFIXES_MAX = 256
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
_BY_NAME = {kind.setting: kind for kind in Traffic}


class Most(StrEnum):
    """The most that the detector may do: nothing, observe with rules in monitor mode, limit, drop.

    A challenge counts as a limit.
    """

    OFF = "off"
    OBSERVE = "observe"
    LIMIT = "limit"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Part:
    """Settings for the destinations in `prefix`, None for all. What is not given is inherited."""

    prefix: Prefix | None = None
    mode: Most | None = None
    floors: Mapping[Traffic, float] = field(default_factory=dict)
    modes: Mapping[Traffic, Most] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DetectSettings:
    """Settings of the embedded detector.

    In the first `learning` seconds of its life only what is unsolicited by nature is dropped. The
    longest prefix in `parts` that covers a destination decides.
    """

    mode: Most = Most.DROP
    learning: float = _LEARNING
    common: Part = field(default_factory=Part)
    parts: tuple[Part, ...] = ()

    def _for(self, destination: Prefix) -> list[Part]:
        """The parts that apply, the most specific one first."""
        over = [each for each in self.parts if each.prefix and each.prefix.covers(destination)]
        over.sort(key=lambda each: -(each.prefix.length if each.prefix else 0))
        return [*over, self.common]

    def floor(self, destination: Prefix, kind: Traffic, taught: bool = False) -> float:
        """The packets a second of this kind below which nothing is an attack.

        `taught`: known flows are told apart, so that few packets of connections are left.
        """
        given = (each.floors[kind] for each in self._for(destination) if kind in each.floors)
        return next(given, _OF_NO_FLOW if taught and kind is Traffic.TCP else FLOORS[kind])

    def most(self, destination: Prefix, kind: Traffic) -> Most:
        """The most that may be done about this kind; a mode of the whole is never exceeded."""
        if self.mode is Most.OFF:
            return Most.OFF
        for each in self._for(destination):
            if kind in each.modes:
                return each.modes[kind]
            if each.mode is not None:
                return each.mode
        return self.mode


class KindFloors(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[detect.floors]`: packets a second to one destination, by kind of packets."""

    syn: _Floor | None = None
    syn_ack: _Floor | None = None
    rst: _Floor | None = None
    tcp: _Floor | None = None
    udp_service: _Floor | None = None
    udp: _Floor | None = None
    icmp: _Floor | None = None
    fragment: _Floor | None = None
    quic_initial: _Floor | None = None
    dns_query: _Floor | None = None
    gre: _Floor | None = None
    esp: _Floor | None = None
    other: _Floor | None = None

    def settings(self) -> dict[Traffic, float]:
        """The floors that are given."""
        return {kind: v for name, kind in _BY_NAME.items() if (v := getattr(self, name))}


class KindModes(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[detect.modes]`: off, observe, limit or drop, by kind of packets."""

    syn: Most | None = None
    syn_ack: Most | None = None
    rst: Most | None = None
    tcp: Most | None = None
    udp_service: Most | None = None
    udp: Most | None = None
    icmp: Most | None = None
    fragment: Most | None = None
    quic_initial: Most | None = None
    dns_query: Most | None = None
    gre: Most | None = None
    esp: Most | None = None
    other: Most | None = None

    def settings(self) -> dict[Traffic, Most]:
        """The modes that are given."""
        return {kind: v for name, kind in _BY_NAME.items() if (v := getattr(self, name))}


class PartTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[[detect.prefixes]]`: other settings for destinations in a prefix."""

    prefix: str
    mode: Most | None = None
    floors: KindFloors = KindFloors()
    modes: KindModes = KindModes()


class DetectTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[detect]`."""

    mode: Most = Most.DROP
    learning: Duration = "10m"
    floors: KindFloors = KindFloors()
    modes: KindModes = KindModes()
    prefixes: Annotated[list[PartTable], Meta(max_length=_PREFIXES_MAX)] = []

    def settings(self, problems: Problems) -> DetectSettings:
        """The settings; errors are added to `problems`."""
        parts = []
        for number, table in enumerate(self.prefixes, 1):
            where = f"detect.prefixes[{number}].prefix"
            for prefix in read_prefixes([table.prefix], where, problems):
                floors, modes = table.floors.settings(), table.modes.settings()
                parts.append(Part(prefix, table.mode, floors, modes))
        return DetectSettings(
            self.mode,
            read_seconds(self.learning, "detect.learning", problems, 0.0),
            Part(None, None, self.floors.settings(), self.modes.settings()),
            tuple(parts),
        )
