# SPDX-License-Identifier: GPL-2.0-or-later
"""The `[feeds]` table of the configuration file, and the limits of fetches."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import field

from xdpctl.base.typed import Table
from xdpctl.errors import ConfigError


class FeedSettings(Table, frozen=True):
    """`[feeds]`: the sources that sets may be refreshed from: URLs, and files in `directory`."""

    directory: Path = field(default_factory=lambda: Path("/etc/xdpctl/sets"))
    allow_private: bool = False
    allow_http: bool = False
    ca_file: str = ""
    proxy: str = ""


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """The limits of a fetch, and the addresses that it may connect to.

    ConfigError if the proxy is not valid.
    """

    max_bytes: int = 32 << 20  # limit of both the transferred and the unpacked bytes
    timeout_seconds: float = 10.0  # for each step: name resolution, connection, part of the answer
    deadline_seconds: float = 60.0  # for the whole fetch, including redirects
    max_redirects: int = 5
    allow_private: bool = False  # any address at all, loopback included
    allow_http: bool = False
    ca_file: str = ""  # certificates that replace the system's store
    proxy: str = ""  # the proxy resolves host names, so only literal addresses are checked here

    def __post_init__(self) -> None:
        if self.proxy and not _is_http(self.proxy):
            raise ConfigError("proxy: write http://host:port; no other kind is supported")


def _is_http(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        return parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
