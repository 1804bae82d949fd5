# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the table `[fleet]` into the configuration file, and takes it out again."""

import json
import os
import re
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xdpctl.base.system.owned_folder import read_file, replace_file
from xdpctl.errors import ConfigError
from xdpctl.fleet.settings import FleetSettings

_BYTES_MAX = 1 << 20
_TABLE = re.compile(r"^\[fleet\][^\n]*\n(?:(?!\[)[^\n]*\n?)*", re.MULTILINE)


def check_absent(path: Path) -> None:
    """ConfigError if the file has a table [fleet]: this node is in a fleet already."""
    if _TABLE.search(_read(path)):
        raise ConfigError(f"{path} has a table [fleet]: `xdpctl fleet leave` first")


def add_table(path: Path, settings: FleetSettings, group: str) -> None:
    """Append the table to the file. A missing file is created, and `group` may read it."""
    text = _read(path)
    lines = [f"{name} = {_value(value)}" for name, value in settings.as_toml().items() if value]
    before = f"{text.rstrip()}\n\n" if text.strip() else ""
    _write(path, before + "\n".join(["[fleet]", *lines]) + "\n", group)


def remove_table(path: Path) -> None:
    """Take the table out of the file."""
    _write(path, _TABLE.sub("", _read(path)).rstrip() + "\n")


def change_table(path: Path, fields: Mapping[str, Any]) -> None:
    """Change some lines of the table; None removes one. What else is in it stays as it is."""
    text = _read(path)
    table = _TABLE.search(text)
    if table is None:
        raise ConfigError(f"{path} has no table [fleet]")
    lines = [
        line
        for line in table.group().rstrip().splitlines()
        if line.partition("=")[0].strip() not in fields
    ]
    lines += [f"{name} = {_value(value)}" for name, value in fields.items() if value is not None]
    rest = text[table.end() :]
    changed = text[: table.start()] + "\n".join(lines) + "\n" + (rest and f"\n{rest}")
    wanted = {**_fleet_of(text), **fields}
    if _fleet_of(changed) != {name: value for name, value in wanted.items() if value is not None}:
        said = ", ".join(f"{name} = {_value(value)}" for name, value in fields.items())
        raise ConfigError(f"{path} is not changed: write these lines into [fleet] yourself: {said}")
    _write(path, changed)


def _fleet_of(text: str) -> Any:
    """The table of a configuration; None if it cannot be read."""
    try:
        return tomllib.loads(text)["fleet"]
    except (tomllib.TOMLDecodeError, KeyError):
        return None


def _value(value: Any) -> str:
    return json.dumps(value)  # text, numbers and lists of text are the same in TOML


def _read(path: Path) -> str:
    try:
        return read_file(path, _BYTES_MAX).decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _write(path: Path, text: str, group: str = "") -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        status = path.stat() if path.exists() else None
        replace_file(path, text.encode(), status.st_mode & 0o777 if status else 0o640)
        if status:
            os.chown(path, status.st_uid, status.st_gid)
        elif group:
            shutil.chown(path, group=group)
    except LookupError as error:
        raise ConfigError(f"{error}: see xdpctl doctor") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
