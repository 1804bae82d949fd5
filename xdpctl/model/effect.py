# SPDX-License-Identifier: GPL-2.0-or-later
"""What a rule does: its action, its mode, and whom it spares."""

from enum import StrEnum


class Action(StrEnum):
    """What a rule does with the packets that it matches.

    `challenge` answers SYNs, or queries over UDP, until their source has shown that it exists;
    `cookies` answers SYNs to listeners of this host with SYN cookies.
    """

    DROP = "drop"
    ACCEPT = "accept"
    LIMIT = "limit"
    CHALLENGE = "challenge"
    COOKIES = "cookies"

    @property
    def past(self) -> str:
        """What was done to a packet that a rule has hit."""
        return _PAST[self]


_PAST = {
    Action.DROP: "dropped",
    Action.ACCEPT: "let through",
    Action.LIMIT: "dropped",
    Action.CHALLENGE: "challenged",
    Action.COOKIES: "challenged",
}
ACTIONS = ", ".join(Action)  # for help
CHALLENGES = (Action.CHALLENGE, Action.COOKIES)


class Mode(StrEnum):
    """`monitor` counts the packets that the action would have hit, and lets them pass."""

    ENFORCE = "enforce"
    MONITOR = "monitor"


class Automatic(StrEnum):
    """Whether detectors' requests are enforced (on), only monitored (observe), or ignored (off)."""

    OFF = "off"
    OBSERVE = "observe"
    ON = "on"


class Spare(StrEnum):
    """Which packets pass although a rule would drop them."""

    NONE = "none"
    ESTABLISHED = "established"  # packets of TCP connections of this host
    KNOWN = "known"  # also packets of flows that the inside takes part in
    TRIAL = "trial"  # also packets of a few flows, which show whom the rule hits

    @property
    def known_flows(self) -> bool:
        """Whether packets of known flows pass."""
        return self in (Spare.KNOWN, Spare.TRIAL)
