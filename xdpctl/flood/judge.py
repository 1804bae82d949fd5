# SPDX-License-Identifier: GPL-2.0-or-later
"""Judges whether packets are an attack, and whether a match for them may be dropped. Pure."""

from dataclasses import dataclass, field

import numpy as np

from xdpctl.flood.evidence import (
    Case,
    because,
    never_asked_for,
    never_seen,
    unaccepted,
    unsolicited,
)
from xdpctl.flood.normal import ENOUGH, MOST_HIT, RARE, Normal, collateral
from xdpctl.flood.picture import deciding, picture
from xdpctl.flood.shapes import TUNNELS
from xdpctl.flood.sources import Sources, sources
from xdpctl.model.effect import Action
from xdpctl.model.finding import KINDS_MAX, TEXT_MAX, TEXTS_MAX, Collateral, Finding
from xdpctl.model.match.match import Match, matching
from xdpctl.model.rate import Rate
from xdpctl.traffic.select import takes

_MATCH_SHOWN = 160  # characters
OF_TUNNELS = 10.0  # times the threshold: one tunnel without answers may carry as much


@dataclass(frozen=True, slots=True)
class Proposal:
    """A match, the action on it, and the finding on which it rests.

    `blind`: too little normal traffic was known to say what it hits. `adapts`: its limit depends on
    the rate of the attack, and is set again when that rate is known better; so does one that the
    control plane puts in place of a challenge.
    """

    match: Match
    action: Action
    finding: Finding
    limit: Rate | None = None
    known: bool = False  # the rule is about known flows, so it spares no flow
    blind: bool = False
    adapts: bool = False


@dataclass(slots=True)
class Judge:
    """Judges the matches of one case."""

    case: Case
    drops: bool
    from_where: Sources = field(init=False)
    unsolicited: str = field(init=False)
    unaccepted: str = field(init=False)
    because: list[str] = field(init=False)
    rejected: list[str] = field(default_factory=list)
    _judging: Normal = field(init=False)

    def __post_init__(self) -> None:
        self.from_where = sources(self.case.window)
        self.unsolicited, self.unaccepted = unsolicited(self.case), unaccepted(self.case)
        self.because = list(because(self.case, self.from_where, self.unsolicited))
        self._judging = self.case.normal.judging

    def hits(self, match: Match) -> tuple[Collateral, ...]:
        """How much normal traffic a match hits, whatever its destination."""
        return collateral(_anywhere(match), self._judging)

    def why_not(self, match: Match, hit: tuple[Collateral, ...]) -> str:
        """Why packets of this match may not be dropped; empty if they may."""
        if not self.drops:
            return "the configuration allows no drop"
        reasons = [*self.because, *never_asked_for(match, self.case.kind)]
        if not reasons:
            return "only the rate of the packets suggests an attack"
        own = sources(self.case.window[takes(match, self.case.window)])
        no_client = self.unaccepted or any(never_asked_for(match, self.case.kind))
        if own.repeat and not self.from_where.repeat and not no_client:
            return (
                f"it takes {own.distinct} of the {self.from_where.distinct} sources, and these "
                "send again and again, as real clients do"
            )
        for harm in hit:
            if harm.hits and (harm.bound > MOST_HIT or harm.samples < RARE):
                return f"it would hit up to {harm.bound:.1%} of normal {harm.kind}"
        known = next((harm.samples for harm in hit if harm.kind == self.case.kind.setting), 0)
        sure = self.unsolicited or self.unaccepted or never_seen(self.case, self.from_where)
        if known < ENOUGH and not sure:
            return f"only {known} packets of normal {self.case.kind.setting} are known"
        return ""

    @property
    def may_be_a_tunnel(self) -> bool:
        """Whether the packets may be a tunnel of a few peers, at a rate that one tunnel can carry.

        A tunnel's flow is known once the inside has sent to the peer. Some hosts inside never send.
        """
        few = self.from_where.few and self.case.kind in TUNNELS
        return few and self.case.rate < OF_TUNNELS * self.case.threshold

    def drop(self, match: Match, hit: tuple[Collateral, ...]) -> Proposal:
        """The proposal to drop a match."""
        own = next((harm.samples for harm in hit if harm.kind == self.case.kind.setting), 0)
        blind = self.case.fresh or own < ENOUGH
        return Proposal(match, Action.DROP, self.told(match, hit), blind=blind)

    def told(self, match: Match, hit: tuple[Collateral, ...]) -> Finding:
        """The finding on which a match rests."""
        case, chosen = self.case, takes(match, self.case.window)
        mass = case.window["weight"].astype(np.float64)
        return Finding(
            kind=case.kind.setting,
            rate=case.rate,
            threshold=case.threshold,
            usual=case.usual,
            heads=len(case.window),
            coverage=float(mass[chosen].sum() / max(mass.sum(), 1.0)),
            because=(*self.because, *never_asked_for(match, case.kind))[:TEXTS_MAX],
            rejected=tuple(reason[:TEXT_MAX] for reason in self.rejected[:TEXTS_MAX]),
            deciding=deciding(match, case.window, case.normal, case.kind),
            collateral=hit[:KINDS_MAX],
            picture=picture(match, case.window, case.normal, case.kind),
        )


def _anywhere(match: Match) -> Match:
    """The match without its destination: normal traffic went to other destinations, too."""
    return matching(
        tuple(component for component in match.components if component[0] != "destination")
    )


def short(match: Match) -> str:
    """The text of the match without its destination; a long one is cut."""
    shown = str(_anywhere(match))
    return shown if len(shown) <= _MATCH_SHOWN else f"{shown[:_MATCH_SHOWN]} ..."
