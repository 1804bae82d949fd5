# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts whom a rule on trial hits. Pure.

A rule on trial lets a few flows pass. Whom the inside takes part with is not forged, and is counted
as people, by sources: one bot that opens many connections is one. For ICMP and for UDP an answer
proves nothing, since a forged packet is answered, too.
"""

from collections.abc import Iterable

from xdpctl.abi.constants import Chosen
from xdpctl.datapath.trials import Tried
from xdpctl.model.collateral import Collateral, interval

PEOPLE = 0.01  # of the sources that a rule hits: with more, it hits people
_SOURCES_LEAST = 3  # people, of whom one is not enough
_ANSWER_NS = 3_000_000_000  # in which the inside takes part, if it does
_SOURCES_KEPT, _DONE_KEPT = 2_000, 8_192
_LATELY_NS, _FULL = 4_000_000_000, 0.8  # of what may come again
_UNPROVEN = frozenset((1, 17, 58))  # ICMP, UDP, ICMPv6
_Key = tuple[int, int]  # a flow, and when it passed


class Tally:
    """What becomes of the flows that one rule lets pass.

    The last 2,000 sources count. A flow is asked for until the inside takes part in it, or had time
    to, and then never more.
    """

    def __init__(self) -> None:
        self._waiting: dict[_Key, Tried] = {}
        self._done: dict[_Key, None] = {}  # the newest is last
        self._sources: dict[int, bool] = {}  # whether people; the newest is last
        self._came: list[int] = []  # when those of the last seconds came again
        self._again = 0

    @property
    def sources(self) -> int:
        """How many are counted."""
        return len(self._sources)

    def add(self, tried: Iterable[Tried]) -> None:
        """The flows that have passed, as they are now."""
        for flow in tried:
            key = flow.hash, flow.since_ns
            if key in self._done:
                continue
            if flow.chosen is Chosen.BY_SHARE and flow.protocol not in _UNPROVEN:
                self._waiting[key] = flow
                continue
            self._finish(key)
            if flow.chosen is Chosen.AGAIN:
                self._again += 1
                self._came.append(flow.since_ns)

    def settle(self, now_ns: int) -> None:
        """Count the sources of flows that take part, or had time to."""
        self._came = [since for since in self._came if now_ns - since < _LATELY_NS]
        for key, flow in list(self._waiting.items()):
            if not flow.known and now_ns - flow.since_ns < _ANSWER_NS:
                continue
            self._sources[flow.source] = self._sources.pop(flow.source, False) or flow.known
            del self._waiting[key]
            self._finish(key)
        while len(self._sources) > _SOURCES_KEPT:
            self._sources.pop(next(iter(self._sources)))

    def _finish(self, key: _Key) -> None:
        self._done[key] = None
        while len(self._done) > _DONE_KEPT:
            self._done.pop(next(iter(self._done)))

    def found(self, passed: int, again_a_second: float, false_pass: float = 0.0) -> Collateral:
        """What is known; `false_pass` of unknown flows are taken for known.

        So many flows a second may come again.
        """
        people, sources = sum(self._sources.values()), len(self._sources)
        # people are known at once, and others only later: until then those that wait count, too
        waiting = {flow.source for flow in self._waiting.values()} - self._sources.keys()
        low, _ = interval(people, sources + len(waiting))
        _, high = interval(people, sources)
        return Collateral(
            people=people,
            sources=sources,
            low=low,
            high=high,
            again=self._again,
            repeats=len(self._came) >= _FULL * again_a_second * _LATELY_NS / 1e9,
            passed=passed,
            hurts=people >= _SOURCES_LEAST and low > PEOPLE + false_pass,
        )
