# SPDX-License-Identifier: GPL-2.0-or-later
"""The `[feeds]` table of the configuration file."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """The sources that sets may be refreshed from: URLs, and files in `directory`."""

    directory: Path = Path("/etc/xdpctl/sets")
    allow_private: bool = False
    allow_http: bool = False
    ca_file: str = ""
    proxy: str = ""
