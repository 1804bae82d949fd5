# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures whom lists hit: listed sources that are in conversation with the inside.

A list that spares known flows drops only new flows of a source. So a conversation goes on if the
inside began it, or if it is older than the entry. ICMP does not count, since anybody may cite a
flow. Nor do sources with few passed packets among many dropped ones: some forged flows are taken
for known ones.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from xdpctl.abi.constants import Asking, Reason
from xdpctl.base.net.prefix import Prefix, text_of
from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.model.effect import Action, Mode
from xdpctl.model.match.components import ICMP, ICMPV6
from xdpctl.model.source_set import SourceSet
from xdpctl.traffic.packets import PacketArray, source
from xdpctl.traffic.window import SECONDS_MAX, Seen

_STEP_SECONDS = 5.0
_AGAIN_SECONDS = 3600.0  # between two notes about the same list
_EXAMPLES = 3
_LEAST, _MOSTLY = 3, 0.1  # sampled packets of a source that pass, and the share that passes


@dataclass(frozen=True, slots=True)
class Spared:
    """Listed sources that were in conversation with the inside in the last minute.

    They are counted in a sample. `packets` estimates how many of their packets passed. `examples`
    are the sources with the most.
    """

    sources: int = 0
    packets: int = 0
    examples: tuple[Prefix, ...] = ()

    def __str__(self) -> str:
        named = ", ".join(map(text_of, self.examples))
        more = ", …" if self.sources > len(self.examples) else ""
        what = "sources that are" if self.sources > 1 else "source that is"
        return f"{self.sources} {what} in conversation with this network ({named}{more})"


class _List(NamedTuple):
    """A list, its slot, and since when it is measured."""

    name: str
    slot: int
    since: float


class ListWatch:
    """Measures the lists in force every few seconds.

    `seen` returns the packets of the last seconds, or None if nothing is observed. `found` has each
    measured list by name. What a list spares is noted once an hour.
    """

    def __init__(self, controller: Controller, seen: Callable[[float], Seen | None]) -> None:
        self._controller, self._seen = controller, seen
        self._lists: dict[str, _List] = {}
        self._told: dict[str, float] = {}
        self.found: Mapping[str, Spared] = {}
        task = PeriodicTask(
            "lists", _STEP_SECONDS, self.step, "cannot measure whom lists hit; the lists stay"
        )
        self.start, self.stop = task.start, task.stop

    def step(self, now: float) -> None:
        """Measure each list that drops and spares known flows."""
        state, flows = self._controller.state, self._controller.datapath.flows
        slots = {
            source_set.name: source_set.slot
            for source_set in list(state.sets.values())
            if measured(source_set)
        }
        if slots and Asking.ASKS not in flows.asking().values():
            slots = {}
        before = self._lists
        self._lists = {
            name: before[name]
            if name in before and before[name].slot == slot
            else _List(name, slot, now)
            for name, slot in slots.items()
        }
        seen = cache(self._seen)  # most lists are measured over the same time
        results = {watched.name: _spared(watched, now, seen) for watched in self._lists.values()}
        self.found = {name: spared for name, spared in results.items() if spared is not None}
        self._tell(now)

    def _tell(self, now: float) -> None:
        told_at = {n: at for n, at in self._told.items() if n in self._lists}
        news = {
            name: spared
            for name, spared in self.found.items()
            if spared.sources and now >= told_at.get(name, -_AGAIN_SECONDS) + _AGAIN_SECONDS
        }
        if news:
            self._controller.submit(lambda draft: _note(draft, news)).result()
        self._told = told_at | dict.fromkeys(news, now)

    def warnings(self) -> list[str]:
        """What an operator should know."""
        return [
            f"the set {name} lists {spared}: these conversations go on, and new ones of such a "
            "source are dropped; check whether the list is wrong (xdpctl why)"
            for name, spared in self.found.items()
            if spared.sources
        ]


def measured(source_set: SourceSet) -> bool:
    """Whether what a set hits can be measured."""
    return (
        source_set.action is Action.DROP
        and source_set.mode is Mode.ENFORCE
        and source_set.spare.known_flows
    )


def _spared(of: _List, now: float, seen: Callable[[float], Seen | None]) -> Spared | None:
    """The sources that a list spares; None while they are not known."""
    if now <= of.since:  # until now, the slot may have been that of another list
        return None
    look = seen(min(SECONDS_MAX, max(now - of.since, _STEP_SECONDS)))
    if look is None:
        return None
    return spared_of(look.packets[look.packets["slot"] == of.slot])


def spared_of(packets: PacketArray) -> Spared:
    """The sources that a list spares, from the packets that it has met."""
    packets = packets[~np.isin(packets["protocol"], (ICMP, ICMPV6))]
    if not len(packets):
        return Spared()
    keys = np.ascontiguousarray(packets[["family", "source"]])
    sources, inverse = np.unique(keys, return_inverse=True)
    places, known = inverse.reshape(-1), packets["reason"] == Reason.KNOWN
    met = np.bincount(places, packets["weight"])
    passed = np.bincount(places, packets["weight"] * known)
    sampled = np.bincount(places, known)
    talks = (sampled >= _LEAST) & (passed >= _MOSTLY * met)
    most = sources[np.argsort(-passed * talks, kind="stable")[: min(_EXAMPLES, talks.sum())]]
    return Spared(int(talks.sum()), int(passed[talks].sum()), tuple(source(row) for row in most))


def _note(draft: Draft, news: Mapping[str, Spared]) -> None:
    for name, spared in news.items():
        draft.note("xdpctl", "set.spares", name, sources=spared.sources, why=str(spared))
