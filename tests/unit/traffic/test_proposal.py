# SPDX-License-Identifier: GPL-2.0-or-later
"""What is proposed about a match that was suggested."""

import pytest

from xdpctl.model.effect import Action
from xdpctl.model.match import text
from xdpctl.traffic.proposal import Proposal, propose
from xdpctl.traffic.suggest import Suggestion

_SYN, _UDP = "dst 198.51.100.7 tcp flags syn&!ack", "dst 198.51.100.7 udp src-port 53"


def suggestion(match: str, before: float | None = None, rate: float | None = None) -> Suggestion:
    error = None if before is None else 0.001
    return Suggestion(text.parse(match), 24_800.0, 1e7, 0.8, 0.01, before, error, rate)


@pytest.mark.parametrize(
    ("match", "before", "rate", "challenges", "proposal"),
    [
        (_SYN, None, None, True, Proposal(Action.CHALLENGE)),
        (_SYN, 0.0, 0.0, True, Proposal(Action.CHALLENGE)),
        (_SYN, None, None, False, Proposal(Action.LIMIT, 1_000.0)),
        (_SYN, 0.0, 0.0, False, Proposal(Action.DROP)),
        ("tcp dst-port 443", None, None, True, Proposal(Action.LIMIT, 1_000.0)),
        ("tcp flags !ack", None, None, True, Proposal(Action.LIMIT, 1_000.0)),
        (_UDP, None, None, True, Proposal(Action.LIMIT, 1_000.0)),
        (_UDP, 0.004, 40.0, True, Proposal(Action.DROP)),
        (_UDP, 0.2, 4_321.0, True, Proposal(Action.LIMIT, 8_600.0)),
        (_UDP, 0.2, 10.0, True, Proposal(Action.LIMIT, 1_000.0)),
    ],
)
def test_what_hits_fewest_people_is_proposed(
    match: str, before: float | None, rate: float | None, challenges: bool, proposal: Proposal
) -> None:
    assert propose(suggestion(match, before, rate), challenges) == proposal
