# SPDX-License-Identifier: GPL-2.0-or-later
"""`[automatic]` of the configuration file."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta, Struct

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.typed import LARGEST, Duration, Problems, read_prefixes, read_seconds
from xdpctl.control.operations.limit_settings import RateTable
from xdpctl.detectors.formats.jmespath import adapter
from xdpctl.detectors.registry import ADAPTERS, Adapter
from xdpctl.errors import ConfigError, RuleError
from xdpctl.mitigation.measures import MEASURES, Measure
from xdpctl.model.effect import Automatic
from xdpctl.model.event import Attack
from xdpctl.model.match import text
from xdpctl.model.names import check_name

_PER_MINUTE = 20_000
_CONNECTIONS = 20
_TTL, _SAME_INCIDENT = 900.0, 300.0


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """The mode of one detector, or None for the common one; its adapter if it is configured."""

    mode: Automatic | None = None
    read: Adapter | None = None


@dataclass(frozen=True, slots=True)
class LadderSettings:
    """The steps of rules that protect a victim.

    They are in monitor mode for the first `monitor` seconds. A limit that is exceeded for `limit`
    seconds without a pause becomes a drop.
    """

    monitor: float = 0.0
    limit: float = math.inf


@dataclass(frozen=True, slots=True)
class AutomaticSettings:
    """Settings of automatic mitigation.

    Only victims in `networks` are protected; without any, those in protected prefixes. `ttl` is
    in seconds, for events that no detector ends. Events on one victim that are less than
    `same_incident` seconds apart are one incident. Sources whose drops would break more than
    `max_connections` connections are only monitored.
    """

    mode: Automatic = Automatic.ON
    networks: tuple[Prefix, ...] = ()
    ttl: float = _TTL
    same_incident: float = _SAME_INCIDENT
    max_per_minute: int = _PER_MINUTE
    max_connections: int = _CONNECTIONS
    detectors: Mapping[str, DetectorSettings] = field(default_factory=dict)
    protect: Mapping[Attack, tuple[Measure, ...]] = field(default_factory=lambda: MEASURES)
    ladder: LadderSettings = field(default_factory=LadderSettings)

    @property
    def adapters(self) -> dict[str, Adapter]:
        """The adapters of all detectors, built-in and configured."""
        described = {
            name: detector_settings.read
            for name, detector_settings in self.detectors.items()
            if detector_settings.read
        }
        return {**ADAPTERS, **described}

    def mode_for(self, detector: str) -> Automatic:
        """The configured mode of a detector, or else the common one."""
        detector_settings = self.detectors.get(detector)
        return detector_settings.mode if detector_settings and detector_settings.mode else self.mode


class DetectorTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[automatic.detectors.NAME]`: `events` is a JMESPath expression that yields events."""

    mode: Automatic | None = None
    events: str | None = None


class MeasureTable(RateTable, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[automatic.protect]]`: without a rate, all matching packets are dropped."""

    attack: Attack
    match: str = ""

    def settings(self) -> Measure:
        """The measure; RuleError if the match or the rate is not valid."""
        parts = text.parse(self.match).as_json() if self.match else {}
        if "destination" in parts:
            fix = "leave it out: the destination is the victim"
            raise RuleError("match has a destination", "match", fix)
        amplified = self.attack is Attack.AMPLIFICATION
        rate = None if self.pps is None and self.bps is None else self.rate()
        return Measure(parts, rate, amplified and "source_port" not in parts)


class LadderTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[automatic.ladder]`."""

    monitor: Duration | None = None
    limit: Duration | None = None


class AutomaticTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[automatic]`."""

    mode: Automatic = Automatic.ON
    networks: list[str] = []
    ttl: Duration = _TTL
    same_incident: Duration = _SAME_INCIDENT
    max_per_minute: Annotated[int, Meta(ge=1, le=LARGEST)] = _PER_MINUTE
    max_connections: Annotated[int, Meta(ge=0, le=LARGEST)] = _CONNECTIONS
    detectors: dict[str, DetectorTable] = {}
    protect: list[MeasureTable] = []
    ladder: LadderTable = LadderTable()

    def settings(self, problems: Problems) -> AutomaticSettings:
        """The settings; errors are added to `problems`."""
        return AutomaticSettings(
            mode=self.mode,
            networks=read_prefixes(self.networks, "automatic.networks", problems),
            ttl=read_seconds(self.ttl, "automatic.ttl", problems),
            same_incident=read_seconds(self.same_incident, "automatic.same_incident", problems),
            max_per_minute=self.max_per_minute,
            max_connections=self.max_connections,
            detectors=_detectors(self.detectors, problems),
            protect=_protect(self.protect, problems),
            ladder=LadderSettings(
                read_seconds(self.ladder.monitor, "automatic.ladder.monitor", problems, 0.0),
                read_seconds(self.ladder.limit, "automatic.ladder.limit", problems, math.inf),
            ),
        )


def _detectors(tables: dict[str, DetectorTable], problems: Problems) -> dict[str, DetectorSettings]:
    found = {}
    for name, table in tables.items():
        where = f"automatic.detectors.{name}"
        with problems.at(where):
            found[name] = _detector(name, table, where)
    return found


def _detector(name: str, table: DetectorTable, where: str) -> DetectorSettings:
    if table == DetectorTable():
        raise ConfigError("give mode, events, or both")
    if table.events is None:
        if name not in ADAPTERS:
            known = ", ".join(ADAPTERS)
            raise ConfigError(f"is not a known detector ({known}); for another one, set events")
        return DetectorSettings(table.mode)
    if name in ADAPTERS:
        raise ConfigError(f"{name} is a built-in detector; choose another name for your events")
    check_name(name, where)
    return DetectorSettings(table.mode, adapter(table.events, f"{where}.events"))


def _protect(
    tables: list[MeasureTable], problems: Problems
) -> Mapping[Attack, tuple[Measure, ...]]:
    """The default measures; those of the tables replace them, attack by attack."""
    ours: dict[Attack, tuple[Measure, ...]] = {}
    for number, table in enumerate(tables, 1):
        with problems.at(f"automatic.protect[{number}]"):
            ours[table.attack] = (*ours.get(table.attack, ()), table.settings())
    return {**MEASURES, **ours}
