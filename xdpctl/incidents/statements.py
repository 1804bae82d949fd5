# SPDX-License-Identifier: GPL-2.0-or-later
"""What detectors said of an incident, word for word: a line of JSON each."""

from pathlib import Path

import msgspec

from xdpctl.incidents.files import add

_BODY_MAX = 64 << 10
_FILE_MAX = 1 << 20  # afterwards the record counts on, and nothing more is kept word for word


class Statement(msgspec.Struct, frozen=True, omit_defaults=True):
    """A body as it came, at Unix time; `cut` says that it was longer."""

    at: float
    detector: str
    body: str
    cut: bool = False


def keep(path: Path, at: float, detector: str, body: bytes) -> bool:
    """Whether there was room for it."""
    text = body[:_BODY_MAX].decode(errors="replace")
    line = msgspec.json.encode(Statement(at, detector, text, len(body) > _BODY_MAX))
    return add(path, line + b"\n", _FILE_MAX)
