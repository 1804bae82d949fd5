# SPDX-License-Identifier: GPL-2.0-or-later
"""Times as the API has them: RFC 3339 text in UTC."""

from datetime import UTC, datetime


def unix(text: str) -> float:
    """The Unix seconds of a time, such as `2026-11-30T08:19:42.5Z`."""
    return datetime.fromisoformat(text).timestamp()


def rfc3339(unix: float) -> str:
    """Unix seconds as a time in UTC."""
    return datetime.fromtimestamp(unix, UTC).isoformat().replace("+00:00", "Z")
