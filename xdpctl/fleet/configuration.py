# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the table `[fleet]` into the configuration file, and takes it out again."""

import json
import os
import re
import shutil
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
