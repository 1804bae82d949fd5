# SPDX-License-Identifier: GPL-2.0-or-later
"""One mitigation of an attack, from the report of its beginning to that of its end. Values."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix, parse_prefix, shown
from xdpctl.errors import RuleError
from xdpctl.flood.judge import Proposal
from xdpctl.flood.normal import RARE
from xdpctl.model.effect import Action
from xdpctl.model.event import Phase
from xdpctl.model.finding import Finding
from xdpctl.model.match import text
from xdpctl.model.match.match import Match
from xdpctl.model.rate import Rate

QUIET_SECONDS = 10.0  # pulses that come back make it longer
QUIET_MOST = 900.0
_ALL_MAX, _OF_VICTIM_MAX, _OF_STRATUM_MAX = 96, 16, 8


class State(StrEnum):
    """How far a mitigation is.

    ATTACK: its rule is hit. WAITING: it is not, and stays. PROBING: it is in monitor mode, to see
    whether the attack goes on.
    """

    ATTACK = "attack"
    WAITING = "waiting"
    PROBING = "probing"


class Mitigation(msgspec.Struct, kw_only=True):
    """A mitigation (RFC 9132). Times are monotonic seconds, `began` is Unix time.

    `quiet` is for how long the rule is kept after the last hits; it doubles each time the attack
    comes back.
    """

    id: str
    victim: str
    kind: str
    match: str
    action: str
    finding: Finding
    began: float
    limit: Rate | None = None
    quiet: float = QUIET_SECONDS
    state: State = State.ATTACK
    rate: float = 0.0  # packets a second that its rule hits now
    hit_at: float = 0.0
    told_at: float = 0.0
    probing_since: float = 0.0
    refused: str = ""  # why the control plane did not accept it
    accepted: bool = False  # the control plane has heard what it rests on
    watched: bool = False  # only observed, as the configuration says
    known: bool = False  # it limits known flows
    blind: bool = False  # what it hits of normal traffic is not known
    adapts: bool = False  # its limit depends on the rate of the attack

    @classmethod
    def of(cls, identity: str, victim: Prefix, proposal: Proposal, unix: float) -> "Mitigation":
        """The mitigation that was proposed."""
        return cls(
            id=identity,
            victim=shown(victim),
            kind=proposal.finding.kind,
            match=str(proposal.match),
            action=proposal.action.value,
            finding=proposal.finding,
            began=unix,
            limit=proposal.limit,
            known=proposal.known,
            blind=proposal.blind,
            adapts=proposal.adapts,
        )

    @property
    def normal(self) -> float:
        """Packets a second that its rule hits of what is usual: they say nothing of an attack."""
        own = next((c for c in self.finding.collateral if c.kind == self.kind), None)
        share = own.hits / own.samples if own and own.samples >= RARE else 1.0
        return share * self.finding.usual

    @property
    def prefix(self) -> Prefix:
        return parse_prefix(self.victim)

    @property
    def of_kind(self) -> Traffic:
        return Traffic[self.kind.upper()]

    @property
    def drops(self) -> bool:
        """Whether it drops all that matches."""
        return self.action == Action.DROP

    def check(self) -> None:
        """RuleError if it has no victim, kind or match; of what a file says."""
        self.parsed()
        if self.kind.upper() not in Traffic.__members__ or not self.prefix:
            raise RuleError(f"there is no kind {self.kind[:40]!r}", "kind", "")

    def parsed(self) -> Match:
        return text.parse(self.match)


def rival_of(mitigation: Mitigation, standing: Sequence[Mitigation]) -> Mitigation | None:
    """The quietest one, in whose place another may come; None if there is room.

    It is of the same kind to the same victim, to the same victim, or of all.
    """
    of_victim = [each for each in standing if each.victim == mitigation.victim]
    alike = [each for each in of_victim if each.kind == mitigation.kind]
    full = (
        rivals
        for rivals, most in (
            (alike, _OF_STRATUM_MAX),
            (of_victim, _OF_VICTIM_MAX),
            (standing, _ALL_MAX),
        )
        if len(rivals) >= most
    )
    rivals = next(full, [])
    return min(rivals, key=lambda each: (each.state is State.ATTACK, each.rate), default=None)


@dataclass(frozen=True, slots=True)
class Report:
    """What the control plane is told of one; `watch`: its rule is to be in monitor mode."""

    phase: Phase
    mitigation: Mitigation
    watch: bool = False
