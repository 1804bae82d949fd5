# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose event a rule is stands in its tags, so its end is found by whoever runs then."""

import hashlib

from xdpctl.model import tags
from xdpctl.model.event import Event


def of(detector: str, event: Event) -> tuple[str, ...]:
    """Of the event, then of its group; it has one of them at least."""
    group = _short(detector, event.group) if event.group else ""
    own = [tags.event(_short(detector, event.id), group)] if event.id else []
    return tuple(own + ([tags.GROUP + group] if group else []))


def _short(detector: str, identity: str) -> str:
    return hashlib.sha256(f"{detector}\0{identity}".encode()).hexdigest()[:16]
