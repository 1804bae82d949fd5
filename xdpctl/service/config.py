# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration file, read once by the entry points and passed down as Settings."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from xdpctl.base.system.logs import LogFormat
from xdpctl.base.typed import Problems, convert, read_prefixes, read_seconds
from xdpctl.control.operations.limit_settings import read_limits
from xdpctl.errors import ConfigError, SettingsError
from xdpctl.lists.settings import FeedSettings
from xdpctl.mitigation.settings import AutomaticSettings
from xdpctl.model.backstop import PREFIXES_MAX, BackstopSettings
from xdpctl.model.flow_memory import FlowSettings
from xdpctl.model.names import check_name
from xdpctl.model.quota import AUTOMATIC, Quota
from xdpctl.model.rate import Rate
from xdpctl.model.rule import OPERATOR
from xdpctl.model.sides import Outside
from xdpctl.notify.settings import Kind
from xdpctl.service import defaults
from xdpctl.service.config_tables import Document, ListenTable, QuotaTable
from xdpctl.service.settings import Listen, Settings

_AGE_MIN, _AGE_MAX = 60.0, 7 * 86400.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def load(path: Path | None) -> Settings:
    """Settings from `path`, or from the default file if it exists.

    ConfigError if the file cannot be read; SettingsError, with every problem, if it is not valid.
    """
    if path is None and not defaults.CONFIG_FILE.exists():
        return Settings()
    path = path or defaults.CONFIG_FILE
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # ValueError includes tomllib.TOMLDecodeError
        raise SettingsError(f"{path} is not TOML: {error}") from error
    try:
        return parse(data)
    except ConfigError as error:
        raise SettingsError(f"{path}: {error}") from error


def parse(data: Mapping[str, Any]) -> Settings:
    """Settings from TOML tables. ConfigError has one problem per line, with its setting's path."""
    problems = Problems(secret=("notify",))  # its URLs hold tokens
    document = convert(data, Document, problems)
    interfaces, outside = _interfaces(document)
    base = Quota(max_rules=document.capacity)
    settings = Settings(
        interfaces=interfaces,
        outside_interfaces=outside,
        peers=read_prefixes(document.peers, "peers", problems),
        protected=read_prefixes(document.protected, "protected", problems),
        protect_found=document.protect_found,
        capacity=document.capacity,
        capacity_ipv4=document.capacity_ipv4,
        capacity_ipv6=document.capacity_ipv6,
        user=document.user,
        group=document.group,
        state_dir=Path(document.state_dir),
        pin_dir=Path(document.pin_dir),
        bulk_max_bytes=document.bulk_max_bytes,
        geo_databases=tuple(document.geo_databases),
        series=document.series,
        metrics_per_rule=document.metrics_per_rule,
        log=document.log,
        listen=_listen(document.listen, problems),
        outside=Outside(
            document.outside.special_purpose,
            read_prefixes(document.outside.allow, "outside.allow", problems),
        ),
        backstop=_backstop(document, problems),
        flow_memory=_flow_memory(document, problems),
        feeds=_feeds(document),
        limits=read_limits(document.limits, problems),
        origins={
            name: _quota(name, table, base if name == OPERATOR else AUTOMATIC, problems)
            for name, table in document.origins.items()
        },
        detect=document.detect.settings(problems),
        automatic=document.automatic.settings(problems),
        notify=document.notify.settings(),
        fleet=document.fleet.settings(problems),
        upstream=document.upstream.settings(problems),
        reporter=document.reporter.settings(problems),
    )
    problems.check()  # invalid settings were left out above, so the next checks would be wrong
    _check(settings)
    return settings


def read_policy(text: str) -> AutomaticSettings:
    """The `[automatic]` of a fleet's policy; ConfigError if it is not valid, or has more tables."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the policy is not TOML: {error}") from error
    if set(data) - {"automatic"}:
        raise ConfigError("a policy has the table [automatic] alone")
    problems = Problems()
    settings = convert(data, Document, problems).automatic.settings(problems)
    problems.check()
    return settings


def override(
    settings: Settings,
    *,
    interfaces: tuple[str, ...] = (),
    state_dir: Path | None = None,
    pin_dir: Path | None = None,
    socket: Path | None = None,
    port: int | None = None,
    log: LogFormat | None = None,
) -> Settings:
    """Settings in which values from the command line replace those of the file."""
    listen = settings.listen
    changed = replace(
        settings,
        interfaces=interfaces or settings.interfaces,
        state_dir=state_dir or settings.state_dir,
        pin_dir=pin_dir or settings.pin_dir,
        log=log or settings.log,
        listen=replace(
            listen,
            socket=listen.socket if socket is None else socket,
            port=listen.port if port is None else port,
        ),
    )
    _check(changed)
    return changed


def schema() -> dict[str, Any]:
    """The JSON Schema of the configuration file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "xdpctl.toml",
        **msgspec.json.schema(Document),
    }


def _interfaces(document: Document) -> tuple[tuple[str, ...], frozenset[str]]:
    """All interface names, and the names of those that are declared to be outside."""
    tables = [entry for entry in document.interfaces if not isinstance(entry, str)]
    names = [entry if isinstance(entry, str) else entry.name for entry in document.interfaces]
    return tuple(names), frozenset(entry.name for entry in tables if entry.side == "outside")


def _listen(table: ListenTable, problems: Problems) -> Listen:
    return Listen(
        socket=Path(table.socket),
        host=table.host,
        port=table.port,
        tls_certificate=_path(table.tls_certificate),
        tls_key=_path(table.tls_key),
        tls_client_ca=_path(table.tls_client_ca),
        names=tuple(table.names),
        trusted_proxies=read_prefixes(table.trusted_proxies, "listen.trusted_proxies", problems),
    )


def _path(given: str | None) -> Path | None:
    return None if given is None else Path(given)


def _feeds(document: Document) -> FeedSettings:
    table = document.feeds
    return FeedSettings(
        directory=Path(table.directory),
        allow_private=table.allow_private,
        allow_http=table.allow_http,
        ca_file=table.ca_file,
        proxy=table.proxy,
    )


def _backstop(document: Document, problems: Problems) -> BackstopSettings:
    table = document.backstop
    given = {k: v for k, v in msgspec.structs.asdict(table.limits).items() if v is not None}
    settings = BackstopSettings(table.learn, table.factor, given)
    for name, pps in given.items():
        with problems.at(f"backstop.limits.{name}"):
            Rate(pps=pps)
    if settings.any and not document.protected:
        problems.add("backstop needs protected prefixes: set protected")
    if settings.any and len(document.protected) > PREFIXES_MAX:
        problems.add(f"backstop is for at most {PREFIXES_MAX} protected prefixes: name fewer")
    return settings


def _flow_memory(document: Document, problems: Problems) -> FlowSettings:
    table = document.flow_memory
    age = read_seconds(table.age, "flow_memory.age", problems) or 0.0
    if not _AGE_MIN <= age <= _AGE_MAX:
        problems.add(f"flow_memory.age must be {_AGE_MIN:g} s to {_AGE_MAX / 86400:g} days")
    if 0 < table.new_per_source < 1:
        problems.add("flow_memory.new_per_source must be 0 (any number) or at least 1")
    return FlowSettings(table.flows, age, table.new_per_source, table.quic)


def _quota(name: str, table: QuotaTable, base: Quota, problems: Problems) -> Quota:
    """The quota of one origin: the given settings, and `base` for the others."""
    with problems.at(f"origins.{name}"):
        check_name(name, f"origins.{name}")
    given = {k: v for k, v in msgspec.structs.asdict(table).items() if v is not None}
    if table.max_ttl is not None:
        given["max_ttl"] = read_seconds(table.max_ttl, f"origins.{name}.max_ttl", problems)
    return replace(base, **given)


def _check(settings: Settings) -> None:
    """ConfigError for settings that contradict each other."""
    listen, problems = settings.listen, Problems()
    if not 0 <= listen.port <= 65535:
        problems.add(f"listen.port must be 0 (off) to 65535, not {listen.port}")
    if (listen.tls_certificate is None) != (listen.tls_key is None):
        problems.add("listen.tls_certificate and listen.tls_key go together: set both")
    if any(not peer.exact for peer in settings.peers):
        problems.add("peers must be single addresses")
    if any(not proxy.exact for proxy in listen.trusted_proxies):
        problems.add("listen.trusted_proxies must be single addresses")
    if listen.port and listen.host not in _LOOPBACK and listen.tls_certificate is None:
        problems.add(
            f"listen.host {listen.host} is not loopback: tokens would cross the network in clear "
            "text. Set listen.tls_certificate and listen.tls_key, or put a TLS proxy in front"
        )
    sends = settings.reporter is not None and settings.reporter.send
    if sends and not (settings.notify.urls and Kind.ABUSE in settings.notify.on):
        problems.add("reporter.send needs notify.urls, and abuse in notify.on")
    problems.check()
