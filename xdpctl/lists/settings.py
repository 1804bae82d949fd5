# SPDX-License-Identifier: GPL-2.0-or-later
"""`[feeds]` of the configuration file."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """Where sets may be refreshed from: URLs, and files in `directory`."""

    directory: Path = Path("/etc/xdpctl/sets")
    allow_private: bool = False
    allow_http: bool = False
    ca_file: str = ""
    proxy: str = ""
