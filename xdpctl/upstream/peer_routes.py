# SPDX-License-Identifier: GPL-2.0-or-later
"""The current and the refused routes of a peer, and how often its rules may change."""

from dataclasses import dataclass, field

from xdpctl.model.event import Event

_CHANGES, _CHANGE_SECONDS = 50.0, 3.0  # changes at once, and the seconds for each one after that


@dataclass(slots=True)
class Changes:
    """How often the rules of a peer may change: a few times at once, and then every few seconds.

    So a peer whose routes come and go does not fill the audit log.
    """

    left: float = _CHANGES
    at: float = 0.0

    def may(self, now: float) -> bool:
        """Whether the rules may change now."""
        self.left = min(_CHANGES, self.left + max(0.0, now - self.at) / _CHANGE_SECONDS)
        self.at = now
        return self.left >= 1

    def count(self) -> None:
        """Count a change of the rules."""
        self.left -= 1


@dataclass(slots=True)
class Received:
    """What a peer sent: its current routes, and routes that are not taken over, with the reason.

    `known`: all its routes were received. `unapplied` are routes whose rules were refused.
    """

    routes: dict[str, Event] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unapplied: dict[str, str] = field(default_factory=dict)
    known: bool = False
    retry_at: float = 0.0
    changes: Changes = field(default_factory=Changes)
