# SPDX-License-Identifier: GPL-2.0-or-later
"""The names of the formats of lists."""

from enum import StrEnum


class FeedFormat(StrEnum):
    """The formats of lists; AUTO detects the format by the content."""

    AUTO = "auto"
    PLAIN = "plain"
    CSV = "csv"
    JSON = "json"
    NDJSON = "ndjson"
    DSHIELD = "dshield"
