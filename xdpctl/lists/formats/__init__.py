# SPDX-License-Identifier: GPL-2.0-or-later
"""Parsers for lists in plain text, CSV, JSON and NDJSON: prefixes and rejected lines from bytes."""

from xdpctl.lists.formats.feed import Feed
from xdpctl.lists.formats.read import LIMIT, read

__all__ = ["LIMIT", "Feed", "read"]
