# SPDX-License-Identifier: GPL-2.0-or-later
"""Looks again at what a limit or challenge was set for: a drop may be proved meanwhile. Pure."""

from collections.abc import Callable, Iterator

from xdpctl.abi.constants import Reason
from xdpctl.flood.judge import Proposal
from xdpctl.flood.mitigation import Mitigation, Report, State
from xdpctl.flood.seen import ENOUGH, Seen
from xdpctl.flood.settings import Most
from xdpctl.flood.usual import Key
from xdpctl.flood.verdict import passes, proposals
from xdpctl.model.effect import Action

_NOT_DROPPED = (Reason.NO_RULE, Reason.LIMITED, Reason.CHALLENGED)
# after a limit began, what it meets is looked at again: at these times, and then each 30 s
_AFRESH_SECONDS = (0.15, 1.0, 5.0, 30.0)
Begin = Callable[[float, float, Key, Proposal, Most], list[Report] | None]


class Afresh:
    """`begin` begins a mitigation; what is to be reported, None if there is no place for it."""

    def __init__(self, seen: Seen, begin: Begin) -> None:
        self._seen, self._mitigations, self._begin = seen, seen.mitigations, begin
        self._looks: dict[str, tuple[float, int]] = {}  # when it began, and looks since

    def began(self, now: float, identity: str) -> None:
        self._looks.setdefault(identity, (now, 0))

    def step(self, now: float, unix: float) -> Iterator[Report]:
        """Look at those whose time it is; their rates are known now."""
        for each in self._mitigations.active:
            lets_pass = not (
                each.drops or each.watched or each.known or each.state is State.PROBING
            )
            # another one may have taken its place meanwhile
            if not lets_pass or not self._mitigations.stands(each) or not self._due(now, each.id):
                continue
            key = each.prefix, each.of_kind
            rate = self._seen.rate(key, *_NOT_DROPPED)
            yield from self._drop_instead(now, unix, each, rate)
            if self._mitigations.stands(each):
                answered = self._seen.coping.answered(now, key)
                most = passes(self._seen.threshold(key), rate, self._seen.usual.best(key), answered)
                yield from self._mitigations.limit_to(now, each, most)
        self._looks = {k: v for k, v in self._looks.items() if self._mitigations.has(k)}

    def _drop_instead(
        self, now: float, unix: float, softer: Mitigation, rate: float
    ) -> Iterator[Report]:
        """Drops in the place of a limit or challenge, or of a part of it."""
        key = softer.prefix, softer.of_kind
        window = self._seen.window(key, *_NOT_DROPPED)
        window = window[self._mitigations.not_dropped(window, key[1])]
        enough = len(window) >= ENOUGH and rate >= self._seen.threshold(key)
        if not enough or self._seen.settings.most(*key) is not Most.DROP:
            return
        found = proposals(self._seen.case(key, window, rate), Most.DROP)
        drops = [each for each in found if each.action is Action.DROP]
        begun = [r for one in drops for r in self._begin(now, unix, key, one, Most.DROP) or ()]
        yield from begun
        all_of_it = len(drops) == len(found)
        if begun and all_of_it and self._mitigations.stands(softer):
            yield self._mitigations.end(softer)

    def _due(self, now: float, identity: str) -> bool:
        """Whether a mitigation is to be looked at again."""
        began, done = self._looks.setdefault(identity, (now, 0))
        further = done - len(_AFRESH_SECONDS) + 1
        after = _AFRESH_SECONDS[done] if further <= 0 else _AFRESH_SECONDS[-1] * (1 + further)
        if now - began < after:
            return False
        self._looks[identity] = began, done + 1
        return True
