# SPDX-License-Identifier: GPL-2.0-or-later
"""What to do about traffic that a suggested match takes. Pure."""

from dataclasses import dataclass

from xdpctl.model.effect import Action
from xdpctl.model.match import bits
from xdpctl.model.match.components import TCP_FLAGS
from xdpctl.model.match.match import Match
from xdpctl.traffic.suggest import Suggestion

_UNKNOWN = 0.005  # share of the earlier traffic: what took less was not there before
_LEAST, _TIMES = 1_000.0, 2.0  # packets a second of a limit, and times the rate before
_SYN, _ACK = TCP_FLAGS["syn"], TCP_FLAGS["ack"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """An action, and the packets a second of a limit."""

    action: Action
    pps: float | None = None


def propose(suggestion: Suggestion, challenges: bool) -> Proposal:
    """What hits fewest people: who exists answers a challenge, and a limit lets some in.

    A drop is proposed only if nearly nothing like it came earlier. `challenges`: this host can
    challenge, which needs an outside interface.
    """
    if challenges and _of_syns(suggestion.match):
        return Proposal(Action.CHALLENGE)
    if suggestion.before is not None and suggestion.before <= _UNKNOWN:
        return Proposal(Action.DROP)
    before = suggestion.before_packets or 0.0
    return Proposal(Action.LIMIT, max(_LEAST, float(f"{_TIMES * before:.2g}")))


def _of_syns(match: Match) -> bool:
    """Whether only packets that open TCP connections match."""
    flags = match.get("tcp_flags")
    if flags is None or not bits.holds(flags, _SYN):
        return False
    return not any(bits.holds(flags, other) for other in (_ACK, _SYN | _ACK, 0))
