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
from xdpctl.model.event import Attack
from xdpctl.model.match import text
from xdpctl.model.rule import Automatic, check_name

_PER_MINUTE = 20_000
_CONNECTIONS = 20
_TTL, _SAME_INCIDENT = 900.0, 300.0


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """Its own mode, if it has one, and who reads it if the configuration says how."""

    mode: Automatic | None = None
    read: Adapter | None = None


@dataclass(frozen=True, slots=True)
class LadderSettings:
    """What protects a victim is only counted for `monitor` seconds; a limit that is exceeded for
    `limit` seconds on end becomes a drop.
    """

    monitor: float = 0.0
    limit: float = math.inf


@dataclass(frozen=True, slots=True)
class AutomaticSettings:
    """`networks` are ours: victims elsewhere are not protected; none: what is protected is ours.

    `ttl` (seconds) is that of what no detector ends; events on one victim that are less than
    `same_incident` seconds apart are one incident. Drops of sources that would break more than
    `max_connections` are only watched.
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
        """Of all detectors there are."""
        described = {name: held.read for name, held in self.detectors.items() if held.read}
        return {**ADAPTERS, **described}

    def mode_for(self, detector: str) -> Automatic:
        """The detector's own mode, or else the common one."""
        held = self.detectors.get(detector)
        return held.mode if held and held.mode else self.mode


class DetectorTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[automatic.detectors.NAME]`: `events` is a JMESPath expression that yields events."""

    mode: Automatic | None = None
    events: str | None = None


class MeasureTable(RateTable, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[automatic.protect]]`: without a rate, all that matches is dropped."""

    attack: Attack
    match: str = ""

    def settings(self) -> Measure:
        """RuleError if the match or the rate is none."""
        parts = text.parse(self.match).as_json() if self.match else {}
        if "destination" in parts:
            fix = "leave it out: it is the victim"
            raise RuleError("match has a destination", "match", fix)
        amplified = self.attack is Attack.AMPLIFICATION
        rate = None if self.pps is None and self.bps is None else self.rate()
        return Measure(parts, rate, amplified and "source_port" not in parts)


class LadderTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[automatic.ladder]`."""

    monitor: Duration | None = None
    limit: Duration | None = None


class AutomaticTable(Struct, frozen=True, forbid_unknown_fields=True):
    """The table as it is written."""

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
        """What is wrong goes to `problems`."""
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
            raise ConfigError(f"is no detector; known are {known}. Or give it events")
        return DetectorSettings(table.mode)
    if name in ADAPTERS:
        raise ConfigError(f"{name} is read by xdpctl; take another name for your events")
    check_name(name, where)
    return DetectorSettings(table.mode, adapter(table.events, f"{where}.events"))


def _protect(
    tables: list[MeasureTable], problems: Problems
) -> Mapping[Attack, tuple[Measure, ...]]:
    """The measures there are, and instead of them those that are given for the same attack."""
    ours: dict[Attack, tuple[Measure, ...]] = {}
    for number, table in enumerate(tables, 1):
        with problems.at(f"automatic.protect[{number}]"):
            ours[table.attack] = (*ours.get(table.attack, ()), table.settings())
    return {**MEASURES, **ours}
