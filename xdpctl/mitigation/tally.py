# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts the people whom a rule on trial hits. Pure.

A rule on trial lets a few flows pass. If the inside takes part in a flow, its source is not forged
and counts as people. Sources are counted, so a bot with many connections counts once. For ICMP and
UDP an answer proves nothing, since forged packets are answered, too.

Flows chosen by a random share are a sample, with a confidence interval. Flows that came again are
not a sample. But the rule hit those among them that are served now, so these are a share of all its
hits.
"""

from collections.abc import Iterable

from xdpctl.abi.constants import Chosen
from xdpctl.datapath.trials import Tried
from xdpctl.model.collateral import Collateral, interval

PEOPLE = 0.01  # largest share of people among the sources that a rule may hit
_SOURCES_LEAST = 3  # people that must be counted before a rule counts as hitting people
_ANSWER_NS = 3_000_000_000  # time for the inside to take part in a flow
LOOK_NS = 6_000_000_000  # time for which flows that came again and were served are counted
_SOURCES_KEPT, _DONE_KEPT = 2_000, 8_192
# a period, and the share of the flows allowed in it that is the full number
_LATELY_NS, _FULL = 4_000_000_000, 0.8
_SOON_NS = 500_000_000
_SERVED_LEAST = 10  # people who came again, before their share of all hits is used
_UNPROVEN = frozenset((1, 17, 58))  # ICMP, UDP, ICMPv6
_Key = tuple[int, int]  # a flow, and when it passed


class Tally:
    """The fate of the flows that one rule lets pass.

    The last 2,000 sources count. A flow is followed once, until the inside takes part in it or has
    had time to.
    """

    def __init__(self) -> None:
        self._waiting: dict[_Key, Tried] = {}
        self._done: dict[_Key, None] = {}  # the newest is last
        self._sources: dict[int, bool] = {}  # whether a source counts as people; the newest is last
        self._came: list[int] = []  # when flows came again, in the last seconds
        self._again = 0
        self._returned: dict[_Key, Tried] = {}  # flows that came again and may still be served
        self._served: dict[int, int] = {}  # sources that were served, and when they came again
        self._unserved: list[int] = []  # when the flows that were not served came again

    @property
    def sources(self) -> int:
        """How many sources are counted."""
        return len(self._sources)

    def add(self, tried: Iterable[Tried]) -> None:
        """Take the flows that have passed, as they are now."""
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
        """Count the sources of flows in which the inside takes part, or has had time to."""
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
        """The share of the flows that came again lately in which the inside takes part.

        The inside answers people at once, so a flow that waits for longer counts as not served.
        """
        waiting = sum(now_ns - flow.since_ns > _SOON_NS for flow in self._returned.values())
        known, others = len(self._served), len(self._unserved) + waiting
        return known / (known + others) if known else 0.0

    def _finish(self, key: _Key) -> None:
        self._done[key] = None
        while len(self._done) > _DONE_KEPT:
            self._done.pop(next(iter(self._done)))

    def found(
        self, passed: int, again_a_second: float, false_pass: float = 0.0, hits: int = 0
    ) -> Collateral:
        """The result so far.

        `again_a_second` is how many flows a second may come again. `false_pass` is the share of
        unknown flows that are taken for known ones. `hits` are the packets that the rule has hit
        within LOOK_NS, 0 if that is not known.
        """
        people, sources = sum(self._sources.values()), len(self._sources)
        # people are recognised at once, other sources later: so flows that wait are not people
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
