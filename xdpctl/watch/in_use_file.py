# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of networks inside that nobody named, and for which packets come in."""

import logging
from collections.abc import Iterable
from pathlib import Path

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.system.owned_folder import read_file, replace_file
from xdpctl.config.settings import Settings
from xdpctl.errors import RuleError

_MOST = 1 << 20  # bytes
log = logging.getLogger("xdpctl.api")


def path_of(settings: Settings) -> Path:
    """Where it is."""
    return settings.control_dir / "networks_in_use"


def read(path: Path) -> frozenset[Prefix]:
    """The networks; none without a file. One that is damaged is logged, and is no network."""
    try:
        lines = read_file(path, _MOST).decode().split()
        return frozenset(parse_prefix(line) for line in lines)
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, RuleError) as error:
        log.error("networks in use are learnt anew: %s cannot be read: %s", path, error)
        return frozenset()


def write(path: Path, networks: Iterable[Prefix]) -> None:
    """Replace the file; OSError if that fails."""
    replace_file(path, "".join(f"{network}\n" for network in sorted(networks)).encode())
