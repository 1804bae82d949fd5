# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings of a host, as its processes use them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.system.logs import LogFormat
from xdpctl.control.operations.default_limits import DefaultLimit
from xdpctl.detectors.builtin.settings import DetectSettings
from xdpctl.fleet.settings import FleetSettings
from xdpctl.incidents.abuse import Reporter
from xdpctl.lists.settings import FeedSettings
from xdpctl.mitigation.settings import AutomaticSettings
from xdpctl.model.backstop import BackstopSettings
from xdpctl.model.capacity import Capacity
from xdpctl.model.flow_memory import FlowSettings
from xdpctl.model.quota import Quota
from xdpctl.model.rule import OPERATOR
from xdpctl.model.sides import Outside
from xdpctl.notify.settings import NotifySettings
from xdpctl.service import defaults
from xdpctl.upstream.settings import UpstreamSettings

CONTROL_FOLDER, SPEAKER_FOLDER = "control", "bgp"  # in state_dir


@dataclass(frozen=True, slots=True)
class Listen:
    """The sockets of the API. Without a certificate, only loopback is allowed for `host`."""

    socket: Path = defaults.SOCKET
    host: str = "127.0.0.1"
    port: int = 8460
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    names: tuple[str, ...] = ()
    trusted_proxies: tuple[Prefix, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings; docs/reference/configuration.md describes each."""

    interfaces: tuple[str, ...] = ()
    outside_interfaces: frozenset[str] = frozenset()  # a subset of `interfaces`
    peers: tuple[Prefix, ...] = ()
    protected: tuple[Prefix, ...] = ()
    protect_found: bool = True
    capacity: int = Capacity().rules
    capacity_ipv4: int = Capacity().ipv4
    capacity_ipv6: int = Capacity().ipv6
    user: str = "xdpctl"
    group: str = "xdpctl"
    state_dir: Path = defaults.STATE_DIR
    pin_dir: Path = defaults.PIN_DIR
    bulk_max_bytes: int = 64 << 20
    geo_databases: tuple[str, ...] = ()
    series: bool = True
    metrics_per_rule: bool = True
    log: LogFormat = LogFormat.AUTO
    listen: Listen = field(default_factory=Listen)
    outside: Outside = field(default_factory=Outside)
    feeds: FeedSettings = field(default_factory=FeedSettings)
    limits: tuple[DefaultLimit, ...] = ()
    backstop: BackstopSettings = field(default_factory=BackstopSettings)
    flow_memory: FlowSettings = field(default_factory=FlowSettings)
    origins: Mapping[str, Quota] = field(default_factory=dict)
    detect: DetectSettings = field(default_factory=DetectSettings)
    automatic: AutomaticSettings = field(default_factory=AutomaticSettings)
    notify: NotifySettings = field(default_factory=NotifySettings)
    fleet: FleetSettings | None = None
    upstream: UpstreamSettings = field(default_factory=UpstreamSettings)
    reporter: Reporter | None = None

    @property
    def capacities(self) -> Capacity:
        """The capacities of the source table."""
        return Capacity(self.capacity, self.capacity_ipv4, self.capacity_ipv6)

    def quotas(self) -> dict[str, Quota]:
        """The quota of each origin; others get quota.AUTOMATIC."""
        return {OPERATOR: Quota(max_rules=self.capacity), **self.origins}

    @property
    def control_dir(self) -> Path:
        """The control plane's own folder; the loader neither reads nor writes there."""
        return self.state_dir / CONTROL_FOLDER

    @property
    def loader_dir(self) -> Path:
        """The loader's own folder; the control plane only reads there."""
        return self.state_dir / "loader"

    @property
    def speaker_dir(self) -> Path:
        """The BGP speaker's own folder, in which the control plane finds its socket."""
        return self.state_dir / SPEAKER_FOLDER

    @property
    def speaker_socket(self) -> Path:
        """The socket of the BGP speaker's bridge."""
        return self.speaker_dir / "bridge.sock"

    @property
    def incident_key(self) -> Path:
        """The file of the key that signs archives of incidents."""
        return self.control_dir / "incident.key"

    @property
    def session_key(self) -> Path:
        """The file of the key that seals sessions of browsers."""
        return self.control_dir / "session.key"

    @property
    def database(self) -> Path:
        """The file of the store."""
        return self.control_dir / "rules.sqlite"

    @property
    def backstops(self) -> Path:
        """The file of what backstops have learnt."""
        return self.control_dir / "backstops.json"

    @property
    def detector_learnt(self) -> Path:
        """The file of what the embedded detector has learnt."""
        return self.control_dir / "detect.learnt"

    @property
    def detector_status(self) -> Path:
        """The file of the embedded detector's report."""
        return self.control_dir / "detect.json"

    @property
    def fleet_policy(self) -> Path:
        """The file of the fleet's policy, which replaces `[automatic]`."""
        return self.control_dir / "fleet-policy.toml"

    @property
    def joining(self) -> Path:
        """The folder of sealed bundles for nodes that join."""
        return self.control_dir / "joining"

    @property
    def compiled(self) -> Path:
        """The cache file of compiled programs."""
        return self.loader_dir / "compiled.json"

    @property
    def compiled_teacher(self) -> Path:
        """The cache file of the program that teaches the flow memory."""
        return self.loader_dir / "teach.json"

    @property
    def rehearsal(self) -> Path:
        """The cache file of the programs as a rehearsal compiles them."""
        return self.loader_dir / "rehearsal.json"

    @property
    def loader_status(self) -> Path:
        """The file of the loader's report."""
        return self.loader_dir / "status.json"
