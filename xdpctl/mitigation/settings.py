"""`[automatic]` of the configuration file."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xdpctl.base.durations import parse_duration
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.control.operations.limit_settings import read_rate
from xdpctl.detectors.formats.jmespath import adapter
from xdpctl.detectors.registry import ADAPTERS, Adapter
from xdpctl.errors import ConfigError, RuleError
from xdpctl.mitigation.measures import MEASURES, Measure
from xdpctl.model.event import Attack
from xdpctl.model.match import text
from xdpctl.model.rule import Automatic, check_name

_KNOWN = (
    "mode",
    "networks",
    "ttl",
    "same_incident",
    "max_per_minute",
    "max_connections",
    "detectors",
    "protect",
    "ladder",
)
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
    """What protects a victim is only counted for `shadow` seconds; a limit that is exceeded for
    `limit` seconds on end becomes a drop.
    """

    shadow: float = 0.0
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


def read_automatic(given: Any) -> AutomaticSettings:
    """ConfigError names the setting: `automatic.detectors.suricata.mode`."""
    if not isinstance(given, dict):
        raise ConfigError("automatic must be a table: [automatic]")
    unknown = [name for name in given if name not in _KNOWN]
    if unknown:
        known = ", ".join(_KNOWN)
        raise ConfigError(f"unknown setting automatic.{unknown[0]}; known are {known}")
    try:
        return AutomaticSettings(
            mode=_mode(given.get("mode", "on"), "automatic.mode"),
            networks=tuple(parse_prefix(str(one)) for one in given.get("networks", [])),
            ttl=_seconds(given, "ttl", _TTL),
            same_incident=_seconds(given, "same_incident", _SAME_INCIDENT),
            max_per_minute=_count(given, "max_per_minute", _PER_MINUTE, 1),
            max_connections=_count(given, "max_connections", _CONNECTIONS, 0),
            detectors=_detectors(given.get("detectors", {})),
            protect=_protect(given.get("protect", [])),
            ladder=_ladder(given.get("ladder", {})),
        )
    except (RuleError, TypeError) as error:
        fix = getattr(error, "fix", "")
        raise ConfigError(f"automatic: {error}" + (f"; {fix}" if fix else "")) from error


def _mode(given: Any, where: str) -> Automatic:
    if given not in list(Automatic):
        raise ConfigError(f"{where} is {given!r}; write {', '.join(Automatic)}")
    return Automatic(given)


def _seconds(table: dict[str, Any], name: str, default: float, within: str = "") -> float:
    if name not in table:
        return default
    given = table[name]
    try:
        seconds = parse_duration(given, name) if isinstance(given, str) else given
    except RuleError:
        seconds = 0
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0:
        raise ConfigError(f"automatic.{within}{name} is {given!r}; write seconds, or 15m")
    return float(seconds)


def _ladder(given: Any) -> LadderSettings:
    if not isinstance(given, dict) or given.keys() - {"shadow", "limit"}:
        raise ConfigError("automatic.ladder must be a table with shadow, limit, or both")
    return LadderSettings(
        _seconds(given, "shadow", 0.0, "ladder."), _seconds(given, "limit", math.inf, "ladder.")
    )


def _count(table: dict[str, Any], name: str, default: int, least: int) -> int:
    given = table.get(name, default)
    if isinstance(given, bool) or not isinstance(given, int) or given < least:
        raise ConfigError(f"automatic.{name} is {given!r}; write a number from {least} on")
    return given


def _detectors(given: Any) -> dict[str, DetectorSettings]:
    if not isinstance(given, dict):
        raise ConfigError("automatic.detectors must be tables: [automatic.detectors.NAME]")
    found = {}
    for name, held in given.items():
        where = f"automatic.detectors.{name}"
        if not isinstance(held, dict) or not held or held.keys() - {"mode", "events"}:
            raise ConfigError(f"{where} must be a table with mode, events, or both")
        if "events" in held:
            if name in ADAPTERS:
                raise ConfigError(f"{where}.events: {name} is read by xdpctl; take another name")
            check_name(name, where)
        elif name not in ADAPTERS:
            known = ", ".join(ADAPTERS)
            raise ConfigError(f"{where} is no detector; there are {known}; or give it events")
        mode = _mode(held["mode"], f"{where}.mode") if "mode" in held else None
        events = held.get("events")
        read = adapter(str(events), f"{where}.events") if events is not None else None
        found[name] = DetectorSettings(mode, read)
    return found


def _protect(given: Any) -> Mapping[Attack, tuple[Measure, ...]]:
    """The measures there are, and instead of them those that are given for the same attack."""
    if not isinstance(given, list):
        raise ConfigError("automatic.protect must be tables: [[automatic.protect]]")
    ours: dict[Attack, tuple[Measure, ...]] = {}
    for number, table in enumerate(given, 1):
        where = f"automatic.protect[{number}]"
        if not isinstance(table, dict) or table.get("attack") not in list(Attack):
            raise ConfigError(f"{where}.attack must be one of {', '.join(Attack)}")
        attack = Attack(table["attack"])
        ours[attack] = (*ours.get(attack, ()), _measure(table, where))
    return {**MEASURES, **ours}


def _measure(table: dict[str, Any], where: str) -> Measure:
    unknown = table.keys() - {"attack", "match", "pps", "bps", "per", "burst"}
    if unknown:
        raise ConfigError(f"unknown setting {where}.{min(unknown)}")
    parts: dict[str, str] = {}
    if table.get("match"):
        parts = text.parse(str(table["match"])).as_json()
    if "destination" in parts:
        raise ConfigError(f"{where}.match has a destination, which is the victim; leave it out")
    rate = read_rate(table) if table.keys() & {"pps", "bps"} else None
    amplified = table["attack"] == Attack.AMPLIFICATION
    return Measure(parts, rate, amplified and "source_port" not in parts)
