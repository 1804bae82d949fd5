# SPDX-License-Identifier: GPL-2.0-or-later
"""Tags that link a rule to its event, so that the rule ends with the event after a restart, too."""

import hashlib

from xdpctl.model import tags
from xdpctl.model.event import Event


def of(detector: str, event: Event) -> tuple[str, ...]:
    """The tag of the event, then that of its group; at least one of the two exists."""
    group = _short(detector, event.group) if event.group else ""
    event_tag = [tags.event(_short(detector, event.id), group)] if event.id else []
    return tuple(event_tag + ([tags.GROUP + group] if group else []))


def _short(detector: str, identity: str) -> str:
    return hashlib.sha256(f"{detector}\0{identity}".encode()).hexdigest()[:16]
