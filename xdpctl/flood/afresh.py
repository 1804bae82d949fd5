# SPDX-License-Identifier: GPL-2.0-or-later
"""Examines packets under a limit or challenge again: a drop may be possible by now. Pure."""

from collections.abc import Callable, Iterator

from xdpctl.abi.constants import Reason
from xdpctl.flood.easing import UNDER_A_LIMIT, Easing
from xdpctl.flood.judge import Proposal
from xdpctl.flood.mitigation import Mitigation, Report, State
from xdpctl.flood.seen import ENOUGH, Seen
from xdpctl.flood.settings import Most
from xdpctl.flood.usual import Key
from xdpctl.flood.verdict import proposals
from xdpctl.model.effect import Action
from xdpctl.traffic.select import takes

# seconds after a limit began at which its packets are examined again; later every 30 s
_AFRESH_SECONDS = (0.15, 1.0, 5.0, 30.0)
Begin = Callable[[float, float, Key, Proposal, Most], list[Report] | None]


class Afresh:
    """`begin` begins a mitigation; it returns the reports, or None if there is no room."""

    def __init__(self, seen: Seen, begin: Begin) -> None:
        self._seen, self._mitigations, self._begin = seen, seen.mitigations, begin
        # when a mitigation began, and how often it was examined since
        self._looks: dict[str, tuple[float, int]] = {}
        self._easing = Easing(seen)

    def began(self, now: float, identity: str) -> None:
        self._looks.setdefault(identity, (now, 0))

    def step(self, now: float, unix: float) -> Iterator[Report]:
        """Examine the packets of each mitigation that is due."""
        for softer in self._mitigations.active:
            lets_pass = not (
                softer.drops or softer.watched or softer.known or softer.state is State.PROBING
            )
            # another mitigation may have replaced this one meanwhile
            stands = self._mitigations.stands(softer)
            if not lets_pass or not stands:
                continue
            if self._keeps_all_out(now, softer):
                pps = self._easing.pps(now, softer)
                yield self._mitigations.limit_instead(now, softer, pps)
                continue
            yield from self._easing.step(now, softer)
            if not self._mitigations.stands(softer) or not self._due(now, softer.id):
                continue
            yield from self._drop_instead(now, unix, softer)
            if self._mitigations.stands(softer):
                yield from self._easing.follow(now, softer)
        self._looks = {k: v for k, v in self._looks.items() if self._mitigations.has(k)}
        self._easing.forget()
        active = self._mitigations.active
        standing = {(m.prefix, m.of_kind) for m in active if m.action == Action.CHALLENGE}
        self._seen.proving.forget(standing)

    def _keeps_all_out(self, now: float, softer: Mitigation) -> bool:
        """Whether nobody comes in by the way that a challenge shows."""
        if softer.action != Action.CHALLENGE or softer.refused:
            return False
        key = softer.prefix, softer.of_kind
        passed = takes(softer.parsed(), self._seen.window(key, Reason.NO_RULE))
        return self._seen.proving.fails(now, key, bool(passed.any()))

    def _drop_instead(self, now: float, unix: float, softer: Mitigation) -> Iterator[Report]:
        """Begin drops in place of a limit or challenge, or of a part of it."""
        key = softer.prefix, softer.of_kind
        rate, window = self._seen.rate(key, *UNDER_A_LIMIT), self._seen.window(key, *UNDER_A_LIMIT)
        window = window[self._mitigations.not_dropped(window, key[1])]
        enough = len(window) >= ENOUGH and rate >= self._seen.threshold(key)
        if not enough or self._seen.settings.most(*key) is not Most.DROP:
            return
        proposed = proposals(self._seen.case(key, window, rate), Most.DROP)
        drops = [proposal for proposal in proposed if proposal.action is Action.DROP]
        reports = [
            report
            for drop in drops
            for report in self._begin(now, unix, key, drop, Most.DROP) or ()
        ]
        yield from reports
        all_of_it = len(drops) == len(proposed)
        if reports and all_of_it and self._mitigations.stands(softer):
            yield self._mitigations.end(softer)

    def _due(self, now: float, identity: str) -> bool:
        """Whether it is time to examine the packets of a mitigation again."""
        began, looks = self._looks.setdefault(identity, (now, 0))
        further = looks - len(_AFRESH_SECONDS) + 1
        after = _AFRESH_SECONDS[looks] if further <= 0 else _AFRESH_SECONDS[-1] * (1 + further)
        if now - began < after:
            return False
        self._looks[identity] = began, looks + 1
        return True
