# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration file, read once by the entry points and passed down as Settings."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from xdpctl.base import typed
from xdpctl.base.problems import Problems
from xdpctl.base.system.logs import LogFormat
from xdpctl.base.typed import convert
from xdpctl.config import paths
from xdpctl.config.settings import Interface, Settings
from xdpctl.errors import ConfigError, SettingsError
from xdpctl.mitigation.settings import AutomaticSettings


def load(path: Path | None) -> Settings:
    """Settings from `path`, or from the default file if it exists.

    ConfigError if the file cannot be read; SettingsError, with every problem, if it is not valid.
    """
    if path is None and not paths.CONFIG_FILE.exists():
        return Settings()
    path = path or paths.CONFIG_FILE
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
    settings = convert(data, Settings, problems)
    problems.check()  # what is not valid was left out, so the next checks would be wrong
    settings.check_together(problems)
    problems.check()
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
    settings = convert(data, Settings, problems)
    problems.check()
    return settings.automatic


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
    """Settings in which values from the command line replace those of the file.

    An interface that both name keeps its side.
    """
    listen = settings.listen
    by_name = {
        interface.name: interface
        for interface in settings.interfaces
        if isinstance(interface, Interface)
    }
    changed = replace(
        settings,
        interfaces=tuple(by_name.get(name, name) for name in interfaces) or settings.interfaces,
        state_dir=state_dir or settings.state_dir,
        pin_dir=pin_dir or settings.pin_dir,
        log=log or settings.log,
        listen=replace(
            listen,
            socket=listen.socket if socket is None else socket,
            port=listen.port if port is None else port,
        ),
    )
    problems = Problems()
    changed.check_together(problems)
    problems.check()
    return changed


def schema() -> dict[str, Any]:
    """The JSON Schema of the configuration file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "xdpctl.toml",
        **typed.schema(Settings),
    }
