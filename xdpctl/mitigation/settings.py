# SPDX-License-Identifier: GPL-2.0-or-later
"""`[automatic]` of the configuration file."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated

from msgspec import Meta, field

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.problems import Problems
from xdpctl.base.typed import LARGEST, Seconds, Table
from xdpctl.control.operations.default_limits import RateSettings
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


class DetectorSettings(Table, frozen=True):
    """`[automatic.detectors.NAME]`: `events` is a JMESPath expression that yields events.

    Without a mode, that of `[automatic]` applies.
    """

    mode: Automatic | None = None
    events: str | None = None


class MeasureSettings(RateSettings, frozen=True, kw_only=True):
    """`[[automatic.protect]]`: without a rate, all matching packets are dropped."""

    attack: Attack
    match: str = ""

    def check(self, place: str, problems: Problems) -> None:
        """Refuse a match or a rate that is not valid."""
        with problems.at(place):
            self.measure()

    def measure(self) -> Measure:
        """The measure; RuleError if the match or the rate is not valid."""
        parts = text.parse(self.match).as_json() if self.match else {}
        if "destination" in parts:
            fix = "leave it out: the destination is the victim"
            raise RuleError("match has a destination", "match", fix)
        amplified = self.attack is Attack.AMPLIFICATION
        rate = None if self.pps is None and self.bps is None else self.rate()
        return Measure(parts, rate, amplified and "source_port" not in parts)


class LadderSettings(Table, frozen=True):
    """`[automatic.ladder]`: the steps of rules that protect a victim.

    Rules are in monitor mode for the first `monitor` seconds. A limit that is exceeded for `limit`
    seconds without a pause becomes a drop. Without `monitor` or `limit`, that step does not happen.
    """

    monitor: Seconds | None = None
    limit: Seconds | None = None


class AutomaticSettings(Table, frozen=True, dict=True):
    """`[automatic]`.

    Only victims in `networks` are protected; without any, those in protected prefixes. `ttl` is
    for events that no detector ends. Events on one victim that are less than `same_incident` apart
    are one incident. Sources whose drops would break more than `max_connections` connections are
    only monitored.
    """

    mode: Automatic = Automatic.ON
    networks: tuple[Prefix, ...] = ()
    ttl: Seconds = _TTL
    same_incident: Seconds = _SAME_INCIDENT
    max_per_minute: Annotated[int, Meta(ge=1, le=LARGEST)] = _PER_MINUTE
    max_connections: Annotated[int, Meta(ge=0, le=LARGEST)] = _CONNECTIONS
    detectors: dict[str, DetectorSettings] = field(default_factory=dict)
    protect: tuple[MeasureSettings, ...] = ()
    ladder: LadderSettings = LadderSettings()

    def check(self, place: str, problems: Problems) -> None:
        """Refuse detectors that are not known, or have no settings."""
        for name, detector in self.detectors.items():
            where = f"{place}.detectors.{name}"
            with problems.at(where):
                _check_detector(name, detector, where)

    @cached_property
    def adapters(self) -> dict[str, Adapter]:
        """The adapters of all detectors, built-in and configured."""
        described = {
            name: adapter(detector.events, f"automatic.detectors.{name}.events")
            for name, detector in self.detectors.items()
            if detector.events
        }
        return {**ADAPTERS, **described}

    @cached_property
    def measures(self) -> Mapping[Attack, tuple[Measure, ...]]:
        """The measures by attack: those of `protect`, or else the default ones."""
        configured: dict[Attack, tuple[Measure, ...]] = {}
        for setting in self.protect:
            configured[setting.attack] = (*configured.get(setting.attack, ()), setting.measure())
        return {**MEASURES, **configured}

    def mode_for(self, detector: str) -> Automatic:
        """The configured mode of a detector, or else the common one."""
        own = self.detectors.get(detector)
        return own.mode if own and own.mode else self.mode


def _check_detector(name: str, detector: DetectorSettings, where: str) -> None:
    if detector == DetectorSettings():
        raise ConfigError("give mode, events, or both")
    if detector.events is None:
        if name not in ADAPTERS:
            known = ", ".join(ADAPTERS)
            raise ConfigError(f"is not a known detector ({known}); for another one, set events")
        return
    if name in ADAPTERS:
        raise ConfigError(f"{name} is a built-in detector; choose another name for your events")
    check_name(name, where)
    adapter(detector.events, f"{where}.events")
