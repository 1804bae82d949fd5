# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts whom a rule on trial hits. Pure.

A rule on trial lets a few flows pass. Whom the inside takes part with is not forged, and is counted
as people, by sources: one bot that opens many connections is one. For UDP and ICMP an answer proves
nothing, since a forged packet is answered, too.
"""

from collections.abc import Iterable

from xdpctl.abi.constants import Chosen
from xdpctl.datapath.trials import Tried
from xdpctl.model.collateral import Collateral, interval

PEOPLE = 0.01  # of the sources that a rule hits: with more, it hits people
_SOURCES_LEAST = 3  # people, of whom one is not enough
_ANSWER_NS = 3_000_000_000  # in which the inside takes part, if it does
_SOURCES_KEPT, _FLOWS_KEPT = 2_000, 8_192
_LATELY_NS, _FULL = 4_000_000_000, 0.8  # of what may come again
_UNPROVEN = frozenset((1, 17, 58))  # ICMP, UDP, ICMPv6


class Tally:
    """What becomes of the flows that one rule lets pass.

    The last 2,000 sources count. Each is asked for until it takes part, or had time to.
    """

    def __init__(self) -> None:
        self._flows: dict[int, Tried] = {}
        self._sources: dict[int, bool] = {}  # whether people; the newest is last
        self._again: set[int] = set()
        self._came: list[int] = []  # when those of the last seconds came again
        self._unmeasured: set[int] = set()

    def add(self, tried: Iterable[Tried]) -> None:
        """The flows that have passed, as they are now."""
        for flow in tried:
            if flow.chosen is Chosen.AGAIN:
                if flow.hash not in self._again:
                    self._came.append(flow.since_ns)
                _bounded(self._again).add(flow.hash)
            elif flow.protocol in _UNPROVEN:
                _bounded(self._unmeasured).add(flow.hash)
            else:
                self._flows[flow.hash] = flow

    def settle(self, now_ns: int) -> None:
        """Count the sources of flows that take part, or had time to."""
        self._came = [since for since in self._came if now_ns - since < _LATELY_NS]
        for flow in list(self._flows.values()):
            if not flow.known and now_ns - flow.since_ns < _ANSWER_NS:
                continue
            people = self._sources.pop(flow.source, False) or flow.known
            self._sources[flow.source] = people
            if now_ns - flow.since_ns >= _ANSWER_NS:
                del self._flows[flow.hash]
        while len(self._sources) > _SOURCES_KEPT:
            self._sources.pop(next(iter(self._sources)))

    def found(self, passed: int, again_a_second: float, false_pass: float = 0.0) -> Collateral:
        """What is known; `false_pass` of unknown flows are taken for known.

        So many flows a second may come again.
        """
        people, sources = sum(self._sources.values()), len(self._sources)
        low, high = interval(people, sources)
        waiting = {flow.source for flow in self._flows.values()} - self._sources.keys()
        least, _ = interval(people, sources + len(waiting))
        return Collateral(
            people=people,
            sources=sources,
            low=low,
            high=high,
            again=len(self._again),
            repeats=len(self._came) >= _FULL * again_a_second * _LATELY_NS / 1e9,
            passed=passed,
            unmeasured=len(self._unmeasured),
            hurts=people >= _SOURCES_LEAST and least > PEOPLE + false_pass,
        )


def _bounded(flows: set[int]) -> set[int]:
    if len(flows) >= _FLOWS_KEPT:
        flows.pop()
    return flows
