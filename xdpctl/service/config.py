"""The settings, read once from TOML by the entry points and passed down."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from xdpctl.abi.structs import Constants
from xdpctl.base.durations import parse_duration
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.control.operations.default_limits import DefaultLimit
from xdpctl.control.operations.limit_settings import read_limits
from xdpctl.errors import ConfigError, RuleError, SettingsError
from xdpctl.lists.settings import FeedSettings
from xdpctl.mitigation.settings import AutomaticSettings, read_automatic
from xdpctl.model.capacity import Capacity
from xdpctl.model.policy import AUTOMATIC, Quota
from xdpctl.model.rule import OPERATOR, check_name
from xdpctl.model.sides import Outside
from xdpctl.notify.settings import NotifySettings, read_notify

DEFAULT_FILE = Path("/etc/xdpctl/xdpctl.toml")
DEFAULT_SOCKET = Path("/run/xdpctl/api.sock")
CONTROL_FOLDER = "control"  # in state_dir
_PREFIXES = ("protected", "peers", "listen.trusted_proxies", "outside.allow")
_LISTS = (*_PREFIXES, "geo_databases", "listen.names")
_DEPTH_MAX, _LARGEST = 20, 2**63
_SIDES = ("outside", "inside")
_CAPACITIES = {"capacity": 2_000_000, "capacity_ipv4": 4_000_000, "capacity_ipv6": 4_000_000}


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the API answers; without a certificate only loopback is allowed."""

    socket: Path = DEFAULT_SOCKET
    host: str = "127.0.0.1"
    port: int = 8460
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    names: tuple[str, ...] = ()
    trusted_proxies: tuple[Prefix, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an operator may set; docs/operations.md has a heading for each."""

    interfaces: tuple[str, ...] = ()
    outside_interfaces: frozenset[str] = frozenset()  # of them, those that are declared so
    peers: tuple[Prefix, ...] = ()
    protected: tuple[Prefix, ...] = ()
    protect_found: bool = True
    capacity: int = Capacity().rules
    capacity_ipv4: int = Capacity().ipv4
    capacity_ipv6: int = Capacity().ipv6
    user: str = "xdpctl"
    group: str = "xdpctl"
    state_dir: Path = Path("/var/lib/xdpctl")
    pin_dir: Path = Path("/run/xdpctl/bpf")
    bulk_max_bytes: int = 64 << 20
    geo_databases: tuple[str, ...] = ()
    listen: Listen = field(default_factory=Listen)
    outside: Outside = field(default_factory=Outside)
    feeds: FeedSettings = field(default_factory=FeedSettings)
    limits: tuple[DefaultLimit, ...] = ()
    origins: Mapping[str, Quota] = field(default_factory=dict)
    automatic: AutomaticSettings = field(default_factory=AutomaticSettings)
    notify: NotifySettings = field(default_factory=NotifySettings)

    @property
    def capacities(self) -> Capacity:
        """Of the source table."""
        return Capacity(self.capacity, self.capacity_ipv4, self.capacity_ipv6)

    def quotas(self) -> dict[str, Quota]:
        """The quota of each origin; others get policy.AUTOMATIC."""
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
    def incident_key(self) -> Path:
        """With what archives of incidents are signed."""
        return self.control_dir / "incident.key"

    @property
    def database(self) -> Path:
        return self.control_dir / "rules.sqlite"

    @property
    def compiled(self) -> Path:
        return self.loader_dir / "compiled.json"

    @property
    def loader_status(self) -> Path:
        return self.loader_dir / "status.json"


def load(path: Path | None) -> Settings:
    """From `path`, or the default file if there is one; SettingsError names the setting."""
    if path is None and not DEFAULT_FILE.exists():
        return Settings()
    path = path or DEFAULT_FILE
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # of which tomllib.TOMLDecodeError is one
        raise SettingsError(f"{path} is not TOML: {error}") from error
    try:
        return parse(data)
    except ConfigError as error:
        raise SettingsError(f"{path}: {error}") from error


def parse(data: Mapping[str, Any]) -> Settings:
    """From TOML's tables; unknown settings are errors."""
    _check_numbers(data, "")
    flat = dict(data)
    listen = _fill(Listen(), flat.pop("listen", {}), "listen.")
    feeds = _fill(FeedSettings(), flat.pop("feeds", {}), "feeds.")
    outside = _fill(Outside(), flat.pop("outside", {}), "outside.")
    names, of_outside = _interfaces(flat.pop("interfaces", []))
    tables = _table(flat.pop("origins", {}))
    limits = read_limits(flat.pop("limits", []))
    automatic = read_automatic(flat.pop("automatic", {}))
    notify = read_notify(flat.pop("notify", {}))
    settings = replace(
        _fill(Settings(), flat, ""),
        interfaces=names,
        outside_interfaces=of_outside,
        listen=listen,
        feeds=feeds,
        outside=outside,
        limits=limits,
    )
    bases = settings.quotas()
    origins = {name: _quota(name, t, bases.get(name, AUTOMATIC)) for name, t in tables.items()}
    return _checked(replace(settings, origins=origins, automatic=automatic, notify=notify))


def _check_numbers(value: Any, where: str, depth: int = 0) -> None:
    """ConfigError for a number that is none, or that no setting takes."""
    if depth > _DEPTH_MAX:
        raise ConfigError(f"{where[:80]} is nested too deeply")
    if isinstance(value, dict):
        for name, one in value.items():
            _check_numbers(one, f"{where}.{name}"[:200].removeprefix("."), depth + 1)
    elif isinstance(value, list):
        for number, one in enumerate(value, 1):
            _check_numbers(one, f"{where}[{number}]", depth + 1)
    elif isinstance(value, int | float) and not abs(value) < _LARGEST:
        raise ConfigError(f"{where[:80]} is no number that a setting takes")


def _interfaces(given: Any) -> tuple[tuple[str, ...], frozenset[str]]:
    """The names, and those of them that are declared to be outside."""
    if not isinstance(given, list):
        raise ConfigError("interfaces must be a list of names or of tables")
    names, outside = [], set[str]()
    for number, one in enumerate(given, 1):
        table = {"name": one} if isinstance(one, str) else _table(one)
        name, side = table.get("name"), table.get("side", "inside")
        if not isinstance(name, str) or side not in _SIDES or table.keys() - {"name", "side"}:
            fix = 'write "eth0", or {name = "eth0", side = "outside"} (or "inside")'
            raise ConfigError(f"interfaces[{number}] is {one!r}; {fix}")
        names.append(name)
        if side == "outside":
            outside.add(name)
    return tuple(names), frozenset(outside)


def override(
    settings: Settings,
    *,
    interfaces: tuple[str, ...] = (),
    state_dir: Path | None = None,
    pin_dir: Path | None = None,
    socket: Path | None = None,
    port: int | None = None,
) -> Settings:
    """What the command line gave goes before the file."""
    given = {"interfaces": interfaces, "state_dir": state_dir, "pin_dir": pin_dir}
    listen = {"socket": socket, "port": port}
    settings = replace(
        settings,
        **{k: v for k, v in given.items() if v},  # type: ignore[arg-type]
        listen=replace(
            settings.listen,
            **{k: v for k, v in listen.items() if v is not None},  # type: ignore[arg-type]
        ),
    )
    return _checked(settings)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"expected a table, got {value!r}")
    return value


def _fill(base: Any, table: Any, prefix: str) -> Any:
    known = [f.name for f in fields(base)]
    changes = {}
    for name, value in _table(table).items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {prefix}{near[0]}?" if near else ""
            raise ConfigError(f"unknown setting {prefix}{name}{hint}")
        changes[name] = _convert(f"{prefix}{name}", value, getattr(base, name))
    return replace(base, **changes)


def _convert(name: str, value: Any, default: Any) -> Any:
    if name in _LISTS:
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise ConfigError(f"{name} must be a list of strings")
        return tuple(_prefix(v, name) for v in value) if name in _PREFIXES else tuple(value)
    if name.endswith("max_ttl") and isinstance(value, int | float) and value is not True:
        return float(value)
    wanted: type = str if isinstance(default, Path) or default is None else type(default)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise ConfigError(f"{name} must be of type {wanted.__name__}, not {value!r}")
    return Path(str(value)) if wanted is str and not isinstance(default, str) else value


def _prefix(text: str, name: str) -> Prefix:
    try:
        return parse_prefix(text, name)
    except RuleError as error:
        raise ConfigError(f"{name}: {error}; {error.fix}") from error


def _quota(name: str, table: Any, base: Quota) -> Quota:
    try:
        check_name(name, f"origins.{name}")
        values = dict(_table(table))
        if isinstance(values.get("max_ttl"), str):
            values["max_ttl"] = parse_duration(values["max_ttl"], f"origins.{name}.max_ttl")
    except RuleError as error:
        raise ConfigError(f"{error.field}: {error}; {error.fix}") from error
    quota: Quota = _fill(base, values, f"origins.{name}.")
    for setting, most in (
        ("max_rules", _CAPACITIES["capacity"]),
        ("shortest_ipv4", 32),
        ("shortest_ipv6", 128),
        ("max_signatures", Constants.SIGNATURES_MAX),
    ):
        if not 0 <= getattr(quota, setting) <= most:
            raise ConfigError(f"origins.{name}.{setting} must be 0 to {most}")
    if quota.max_ttl is not None and quota.max_ttl <= 0:
        raise ConfigError(f"origins.{name}.max_ttl must be above 0")
    return quota


def _checked(settings: Settings) -> Settings:
    for name, most in _CAPACITIES.items():
        value = getattr(settings, name)
        if not 1 <= value <= most:
            raise ConfigError(f"{name} must be 1 to {most}, not {value}")
    if settings.bulk_max_bytes < 1:
        raise ConfigError(f"bulk_max_bytes must be above 0, not {settings.bulk_max_bytes}")
    listen = settings.listen
    if not 0 <= listen.port <= 65535:
        raise ConfigError(f"listen.port must be 0 (off) to 65535, not {listen.port}")
    if (listen.tls_certificate is None) != (listen.tls_key is None):
        raise ConfigError("listen.tls_certificate and listen.tls_key go together")
    if any(not peer.exact for peer in settings.peers):
        raise ConfigError("peers must be single addresses")
    if any(not proxy.exact for proxy in listen.trusted_proxies):
        raise ConfigError("listen.trusted_proxies must be single addresses")
    loopback = listen.host in ("127.0.0.1", "::1", "localhost")
    if listen.port and not loopback and listen.tls_certificate is None:
        raise ConfigError(
            f"listen.host {listen.host} is not loopback: tokens would cross the network in the "
            "clear. Set listen.tls_certificate and listen.tls_key, or put a TLS proxy in front."
        )
    return settings
