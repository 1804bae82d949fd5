# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings of a host, as its processes use them."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field, structs

from xdpctl.abi.constants import Constants
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.problems import Problems
from xdpctl.base.system.logs import LogFormat
from xdpctl.base.typed import LARGEST, Seconds, Table
from xdpctl.config import paths
from xdpctl.config.listen import Listen
from xdpctl.config.names import NamesSettings
from xdpctl.control.operations.default_limits import DefaultLimit, LimitSettings
from xdpctl.fleet.settings import FleetSettings
from xdpctl.flood.settings import DetectSettings
from xdpctl.incidents.abuse import Reporter
from xdpctl.lists.settings import FeedSettings
from xdpctl.mitigation.settings import AutomaticSettings
from xdpctl.model.backstop import PREFIXES_MAX, BackstopSettings
from xdpctl.model.capacity import Capacity, FlowSettings
from xdpctl.model.names import check_name
from xdpctl.model.quota import AUTOMATIC, Quota
from xdpctl.model.rule import OPERATOR
from xdpctl.model.sides import Outside
from xdpctl.notify.settings import Kind, NotifySettings
from xdpctl.upstream.settings import UpstreamSettings

_RULES_MAX = 2_000_000
_Entries = Annotated[int, Meta(ge=1, le=4_000_000)]
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
CONTROL_FOLDER, SPEAKER_FOLDER = "control", "bgp"  # in state_dir


class Interface(Table, frozen=True):
    """`{name = "eth0", side = "outside"}`.

    If it is `shared`, XDP programs that other tools attach run behind the filter.
    """

    name: str
    side: Literal["outside", "inside"] = "inside"
    shared: bool = False


class QuotaSettings(Table, frozen=True):
    """`[origins.NAME]`: values that are left out are those of an origin without such a table."""

    max_rules: Annotated[int, Meta(ge=0, le=_RULES_MAX)] | None = None
    shortest_ipv4: Annotated[int, Meta(ge=0, le=32)] | None = None
    shortest_ipv6: Annotated[int, Meta(ge=0, le=128)] | None = None
    max_ttl: Seconds | None = None
    max_matches: Annotated[int, Meta(ge=0, le=int(Constants.SIGNATURES_MAX))] | None = None
    max_share: Annotated[float, Meta(ge=0, le=1)] | None = None

    def check(self, place: str, problems: Problems) -> None:
        """Refuse a name that no origin can have."""
        with problems.at(place):
            check_name(place.removeprefix("origins."), place)

    def over(self, base: Quota) -> Quota:
        """The quota: the values of this table, and those of `base` for the rest."""
        own = {name: value for name, value in structs.asdict(self).items() if value is not None}
        return replace(base, **own)


class ModuleSettings(Table, frozen=True):
    """`[modules]`: whose modules run. `signers` is a file of keys, see ssh-keygen(1)."""

    signers: Path | None = None

    def check(self, place: str, problems: Problems) -> None:
        """Refuse a path that depends on where a process was started."""
        if self.signers and not self.signers.is_absolute():
            problems.add(f"{place}.signers must be an absolute path, not {self.signers}")


class Settings(Table, frozen=True):
    """All settings; docs/reference/configuration.md describes each."""

    interfaces: tuple[str | Interface, ...] = ()
    peers: tuple[Prefix, ...] = ()
    protected: tuple[Prefix, ...] = ()
    protect_found: bool = True
    capacity: Annotated[int, Meta(ge=1, le=_RULES_MAX)] = Capacity().rules
    capacity_ipv4: _Entries = Capacity().ipv4
    capacity_ipv6: _Entries = Capacity().ipv6
    user: str = "xdpctl"
    group: str = "xdpctl"
    state_dir: Path = field(default_factory=lambda: paths.STATE_DIR)
    pin_dir: Path = field(default_factory=lambda: paths.PIN_DIR)
    bulk_max_bytes: Annotated[int, Meta(ge=1, le=LARGEST)] = 64 << 20
    geo_databases: tuple[str, ...] = ()
    series: bool = True
    log: LogFormat = LogFormat.AUTO
    listen: Listen = field(default_factory=Listen)
    outside: Outside = Outside()
    flow_memory: FlowSettings = FlowSettings()
    backstop: BackstopSettings = BackstopSettings()
    feeds: FeedSettings = field(default_factory=FeedSettings)
    limits: tuple[LimitSettings, ...] = ()
    origins: dict[str, QuotaSettings] = field(default_factory=dict)
    detect: DetectSettings = DetectSettings()
    automatic: AutomaticSettings = field(default_factory=AutomaticSettings)
    fleet: FleetSettings = field(default_factory=FleetSettings)
    upstream: UpstreamSettings = UpstreamSettings()
    notify: NotifySettings = NotifySettings()
    reporter: Reporter = Reporter()
    names: NamesSettings = field(default_factory=NamesSettings)
    modules: ModuleSettings = ModuleSettings()

    def check(self, place: str, problems: Problems) -> None:
        """Refuse backstops without protected prefixes, or for too many of them."""
        if self.backstop.any and not self.protected:
            problems.add("backstop needs protected prefixes: set protected")
        if self.backstop.any and len(self.protected) > PREFIXES_MAX:
            problems.add(f"backstop is for at most {PREFIXES_MAX} protected prefixes: name fewer")

    def check_together(self, problems: Problems) -> None:
        """Refuse settings that contradict each other, whether of the file or the command line."""
        listen = self.listen
        if not 0 <= listen.port <= 65535:
            problems.add(f"listen.port must be 0 (off) to 65535, not {listen.port}")
        if (listen.tls_certificate is None) != (listen.tls_key is None):
            problems.add("listen.tls_certificate and listen.tls_key go together: set both")
        if self.outside.source_validation != "off" and not self.protected:
            problems.add("outside.source_validation needs your own networks: set protected")
        if self.outside.source_validation != "off" and not self.outside_interfaces:
            problems.add(
                "outside.source_validation needs an outside interface: "
                'interfaces = [{name = "eth0", side = "outside"}]'
            )
        if any(not peer.exact for peer in self.peers):
            problems.add("peers must be single addresses")
        if any(not proxy.exact for proxy in listen.trusted_proxies):
            problems.add("listen.trusted_proxies must be single addresses")
        if listen.port and listen.host not in _LOOPBACK and listen.tls_certificate is None:
            problems.add(
                f"listen.host {listen.host} is not loopback: tokens would cross the network in "
                "clear text. Set listen.tls_certificate and listen.tls_key, or put a TLS proxy in "
                "front"
            )
        if self.reporter.send and not (self.notify.urls and Kind.ABUSE in self.notify.on):
            problems.add("reporter.send needs notify.urls, and abuse in notify.on")
        ids = [limit.match.id for limit in self.default_limits]
        for place, name in enumerate(ids):
            if name in ids[:place]:
                problems.add(f"limits[{place + 1}] has the same match as an earlier one")

    @property
    def interface_names(self) -> tuple[str, ...]:
        """The names of all interfaces."""
        return tuple(entry if isinstance(entry, str) else entry.name for entry in self.interfaces)

    @property
    def outside_interfaces(self) -> frozenset[str]:
        """The names of the outside interfaces."""
        return frozenset(one.name for one in self._tables() if one.side == "outside")

    @property
    def shared_interfaces(self) -> frozenset[str]:
        """The names of the interfaces that are shared with other tools' XDP programs."""
        return frozenset(one.name for one in self._tables() if one.shared)

    def _tables(self) -> list[Interface]:
        return [interface for interface in self.interfaces if isinstance(interface, Interface)]

    @property
    def capacities(self) -> Capacity:
        """The capacities of the source table."""
        return Capacity(self.capacity, self.capacity_ipv4, self.capacity_ipv6)

    def quotas(self) -> dict[str, Quota]:
        """The quota of each origin; other origins get quota.AUTOMATIC."""
        base = {OPERATOR: Quota(max_rules=self.capacity)}
        configured = {name: q.over(base.get(name, AUTOMATIC)) for name, q in self.origins.items()}
        return base | configured

    @property
    def default_limits(self) -> tuple[DefaultLimit, ...]:
        """The limits that come from the configuration."""
        return tuple(limit.limit() for limit in self.limits)

    @property
    def control_dir(self) -> Path:
        """The control plane's own folder; the loader reads `fleet_modules` there, and no more."""
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
    def fleet_modules(self) -> Path:
        """The folder of the modules that the fleet shares, which the loader reads."""
        return self.control_dir / "modules"

    @property
    def joining(self) -> Path:
        """The folder of sealed bundles for nodes that join."""
        return self.control_dir / "joining"

    @property
    def modules_dir(self) -> Path:
        """The folder of the modules that root has added."""
        return self.loader_dir / "modules"

    @property
    def compiled(self) -> Path:
        """The cache file of compiled programs."""
        return self.loader_dir / "compiled.json"

    @property
    def compiled_teacher(self) -> Path:
        """The cache file of the program that fills the flow memory."""
        return self.loader_dir / "teach.json"

    @property
    def rehearsal(self) -> Path:
        """The cache file of the programs as a rehearsal compiles them."""
        return self.loader_dir / "rehearsal.json"

    @property
    def loader_status(self) -> Path:
        """The file of the loader's report."""
        return self.loader_dir / "status.json"
