# SPDX-License-Identifier: GPL-2.0-or-later
"""The formats of lists: plain, CSV, JSON, NDJSON; bytes in, prefixes and rejected lines out."""

from xdpctl.lists.formats.feed import Feed, FeedFormat
from xdpctl.lists.formats.read import LIMIT, read

__all__ = ["LIMIT", "Feed", "FeedFormat", "read"]
