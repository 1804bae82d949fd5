# SPDX-License-Identifier: GPL-2.0-or-later
"""The `[feeds]` table of the configuration file."""

from pathlib import Path

from msgspec import field

from xdpctl.base.typed import Table


class FeedSettings(Table, frozen=True):
    """`[feeds]`: what sets may be refreshed from: URLs, and files in `directory`."""

    directory: Path = field(default_factory=lambda: Path("/etc/xdpctl/sets"))
    allow_private: bool = False
    allow_http: bool = False
    ca_file: str = ""
    proxy: str = ""
