# SPDX-License-Identifier: GPL-2.0-or-later
"""One mitigation of an attack, from the report that it began to the report that it ended."""

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

QUIET_SECONDS = 10.0  # each return of the attack doubles this time
QUIET_MOST = 900.0
_ALL_MAX, _OF_VICTIM_MAX, _OF_STRATUM_MAX = 96, 16, 8


class State(StrEnum):
    """The state of a mitigation.

    ATTACK: its rule is hit. WAITING: its rule is not hit, and stays. PROBING: its rule is in
    monitor mode, to see whether the attack goes on.
    """

    ATTACK = "attack"
    WAITING = "waiting"
    PROBING = "probing"


class Mitigation(msgspec.Struct, kw_only=True):
    """A mitigation (RFC 9132). Times are monotonic seconds, `began` is Unix time.

    `quiet` is for how many seconds the rule is kept after its last hits; it doubles each time the
    attack comes back.
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
    refused: str = ""  # why the control plane did not accept the mitigation
    accepted: bool = False  # the control plane has received its finding
    watched: bool = False  # its rule is in monitor mode, as the configuration says
    known: bool = False  # its rule limits known flows
    blind: bool = False  # it is not known how much normal traffic it hits
    adapts: bool = False  # its limit depends on the rate of the attack

    @classmethod
    def of(cls, identity: str, victim: Prefix, proposal: Proposal, unix: float) -> "Mitigation":
        """The mitigation for a proposal."""
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
        """Packets a second of usual traffic that its rule hits: they do not show an attack."""
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
        """RuleError if its victim, kind or match is not valid, as it may be in a file."""
        self.parsed()
        if self.kind.upper() not in Traffic.__members__ or not self.prefix:
            raise RuleError(f"there is no kind {self.kind[:40]!r}", "kind", "")

    def parsed(self) -> Match:
        return text.parse(self.match)


def rival_of(mitigation: Mitigation, standing: Sequence[Mitigation]) -> Mitigation | None:
    """The quietest mitigation, which has to end for a new one; None if there is room.

    It is chosen from the first of these groups that is full: the mitigations of the same victim and
    kind, those of the same victim, all.
    """
    of_victim = [other for other in standing if other.victim == mitigation.victim]
    alike = [other for other in of_victim if other.kind == mitigation.kind]
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
    return min(rivals, key=lambda other: (other.state is State.ATTACK, other.rate), default=None)


@dataclass(frozen=True, slots=True)
class Report:
    """A report about a mitigation; `watch`: its rule is to be in monitor mode."""

    phase: Phase
    mitigation: Mitigation
    watch: bool = False
