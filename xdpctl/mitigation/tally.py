# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts whom a rule on trial hits. Pure.

A rule on trial lets a few flows pass. Whom the inside takes part with is not forged, and is counted
as people, by sources: one bot that opens many connections is one. For ICMP and for UDP an answer
proves nothing, since a forged packet is answered, too.

Flows by a random share are a sample, with an interval. Those that came again are none; but whoever
of them is served was hit before, so together they are a part of all that the rule hits.
"""

from collections.abc import Iterable

from xdpctl.abi.constants import Chosen
from xdpctl.datapath.trials import Tried
from xdpctl.model.collateral import Collateral, interval

PEOPLE = 0.01  # of the sources that a rule hits: with more, it hits people
_SOURCES_LEAST = 3  # people, of whom one is not enough
_ANSWER_NS = 3_000_000_000  # in which the inside takes part, if it does
LOOK_NS = 6_000_000_000  # in which those that came again and were served are counted
_SOURCES_KEPT, _DONE_KEPT = 2_000, 8_192
_LATELY_NS, _FULL = 4_000_000_000, 0.8  # of what may come again
_SOON_NS = 500_000_000
_SERVED_LEAST = 10  # people who came again, of whom a part of all hits is taken
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
        self._returned: dict[_Key, Tried] = {}  # of those, who had no time yet
        self._served: dict[int, int] = {}  # sources of those that were served, and when they came
        self._unserved: list[int] = []  # when the others came

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
            if flow.chosen is Chosen.AGAIN and key not in self._returned:
                self._again += 1
                self._came.append(flow.since_ns)
            if flow.chosen is Chosen.AGAIN and flow.protocol not in _UNPROVEN:
                self._returned[key] = flow
                continue
            self._finish(key)

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
        self._settle_returned(now_ns)

    def _settle_returned(self, now_ns: int) -> None:
        for key, flow in list(self._returned.items()):
            if flow.known:
                self._served[flow.source] = flow.since_ns
            elif now_ns - flow.since_ns >= _ANSWER_NS:
                self._unserved.append(flow.since_ns)
            else:
                continue
            del self._returned[key]
            self._finish(key)
        since = now_ns - LOOK_NS
        self._served = {source: at for source, at in self._served.items() if at >= since}
        self._unserved = [at for at in self._unserved if at >= since]

    def served(self, now_ns: int) -> float:
        """The share of those that came again lately with whom the inside takes part.

        People are known at once. So who waits for longer is none, as far as one knows.
        """
        waiting = sum(now_ns - each.since_ns > _SOON_NS for each in self._returned.values())
        known, others = len(self._served), len(self._unserved) + waiting
        return known / (known + others) if known else 0.0

    def _finish(self, key: _Key) -> None:
        self._done[key] = None
        while len(self._done) > _DONE_KEPT:
            self._done.pop(next(iter(self._done)))

    def found(
        self, passed: int, again_a_second: float, false_pass: float = 0.0, hits: int = 0
    ) -> Collateral:
        """What is known; `false_pass` of unknown flows are taken for known.

        So many flows a second may come again. `hits` are the packets that the rule has hit within
        LOOK_NS, 0 if that is not known.
        """
        people, sources = sum(self._sources.values()), len(self._sources)
        # people are known at once, and others only later: until then those that wait count, too
        waiting = {flow.source for flow in self._waiting.values()} - self._sources.keys()
        low, _ = interval(people, sources + len(waiting))
        _, high = interval(people, sources)
        enough = people >= _SOURCES_LEAST
        if hits and len(self._served) >= _SERVED_LEAST:
            low, enough = max(low, min(1.0, len(self._served) / hits)), True
        return Collateral(
            people=people,
            sources=sources,
            low=low,
            high=max(low, high),
            again=self._again,
            repeats=len(self._came) >= _FULL * again_a_second * _LATELY_NS / 1e9,
            passed=passed,
            hurts=enough and low > PEOPLE + false_pass,
        )
