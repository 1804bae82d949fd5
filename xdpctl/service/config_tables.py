# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of the configuration file, with the type and range of each setting.

`make schema` writes a JSON Schema of these for editors.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from xdpctl.abi.constants import Constants
from xdpctl.base.system.logs import LogFormat
from xdpctl.base.typed import LARGEST, Duration
from xdpctl.control.operations.limit_settings import LimitTable, Number
from xdpctl.detectors.builtin.settings import DetectTable
from xdpctl.fleet.settings import FleetTable
from xdpctl.incidents.abuse import ReporterTable
from xdpctl.lists.settings import FeedSettings
from xdpctl.mitigation.settings import AutomaticTable
from xdpctl.model.backstop import BackstopSettings
from xdpctl.model.capacity import Capacity
from xdpctl.model.flow_memory import FlowSettings
from xdpctl.notify.settings import NotifyTable
from xdpctl.service import defaults
from xdpctl.upstream.settings import UpstreamTable

_RULES_MAX, _ENTRIES_MAX, _FLOWS_MAX = 2_000_000, 4_000_000, 32_000_000
_Path = Annotated[str, Meta(min_length=1, max_length=4096)]
_Rules = Annotated[int, Meta(ge=1, le=_RULES_MAX)]
_Entries = Annotated[int, Meta(ge=1, le=_ENTRIES_MAX)]


class InterfaceTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`{name = "eth0", side = "outside"}`."""

    name: str
    side: Literal["outside", "inside"] = "inside"


class ListenTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[listen]`; port 0 disables TCP."""

    socket: _Path = str(defaults.SOCKET)
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8460
    tls_certificate: _Path | None = None
    tls_key: _Path | None = None
    tls_client_ca: _Path | None = None
    names: list[str] = []
    trusted_proxies: list[str] = []


class OutsideTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[outside]`."""

    special_purpose: bool = True
    allow: list[str] = []


class FlowMemoryTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[flow_memory]`."""

    flows: Annotated[int, Meta(ge=1_000, le=_FLOWS_MAX)] = FlowSettings().flows
    age: Duration = "30m"
    new_per_source: Annotated[float, Meta(ge=0, le=1_000_000)] = FlowSettings().new_per_source
    quic: bool = FlowSettings().quic


class BackstopLimits(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[backstop.limits]`: packets a second to each protected prefix, by class."""

    syn: Number | None = None
    syn_ack: Number | None = None
    rst: Number | None = None
    tcp: Number | None = None
    udp: Number | None = None
    icmp: Number | None = None
    fragment: Number | None = None


class BackstopTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[backstop]`."""

    learn: bool = False
    factor: Annotated[float, Meta(ge=2, le=1_000)] = BackstopSettings().factor
    limits: BackstopLimits = BackstopLimits()


class FeedsTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[feeds]`."""

    directory: _Path = str(FeedSettings().directory)
    allow_private: bool = False
    allow_http: bool = False
    ca_file: str = ""
    proxy: str = ""


class QuotaTable(Struct, frozen=True, forbid_unknown_fields=True):
    """`[origins.NAME]`: settings that are left out have the defaults of other origins."""

    max_rules: Annotated[int, Meta(ge=0, le=_RULES_MAX)] | None = None
    shortest_ipv4: Annotated[int, Meta(ge=0, le=32)] | None = None
    shortest_ipv6: Annotated[int, Meta(ge=0, le=128)] | None = None
    max_ttl: Duration | None = None
    max_matches: Annotated[int, Meta(ge=0, le=int(Constants.SIGNATURES_MAX))] | None = None
    max_share: Annotated[float, Meta(ge=0, le=1)] | None = None


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    interfaces: list[str | InterfaceTable] = []
    peers: list[str] = []
    protected: list[str] = []
    protect_found: bool = True
    capacity: _Rules = Capacity().rules
    capacity_ipv4: _Entries = Capacity().ipv4
    capacity_ipv6: _Entries = Capacity().ipv6
    user: str = "xdpctl"
    group: str = "xdpctl"
    state_dir: _Path = str(defaults.STATE_DIR)
    pin_dir: _Path = str(defaults.PIN_DIR)
    bulk_max_bytes: Annotated[int, Meta(ge=1, le=LARGEST)] = 64 << 20
    geo_databases: list[str] = []
    series: bool = True
    metrics_per_rule: bool = True
    log: LogFormat = LogFormat.AUTO
    listen: ListenTable = ListenTable()
    outside: OutsideTable = OutsideTable()
    flow_memory: FlowMemoryTable = FlowMemoryTable()
    backstop: BackstopTable = BackstopTable()
    feeds: FeedsTable = FeedsTable()
    limits: list[LimitTable] = []
    origins: dict[str, QuotaTable] = {}
    detect: DetectTable = DetectTable()
    automatic: AutomaticTable = AutomaticTable()
    fleet: FleetTable = FleetTable()
    upstream: UpstreamTable = UpstreamTable()
    notify: NotifyTable = NotifyTable()
    reporter: ReporterTable = ReporterTable()
