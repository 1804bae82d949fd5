# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures whom lists hit: sources on them with which the inside is in conversation.

A list that spares known flows drops whoever begins, so only a conversation that the inside began,
or that is older than the entry, goes on. ICMP does not count: anybody may cite a flow. Nor do
sources of which few packets pass beside those that are dropped, as of forged flows that are taken
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
_AGAIN_SECONDS = 3600.0  # a list of which this was told is not told of again within
_EXAMPLES = 3
_LEAST, _MOSTLY = 3, 0.1  # sampled packets of a source that pass, and the share that passes


@dataclass(frozen=True, slots=True)
class Spared:
    """Of the last minute: sources of a list that are in conversation with the inside.

    They are those in a sample; `packets` is how many of theirs passed, estimated, and `examples`
    are those with the most.
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
    """A list in its slot, and since when it is looked at."""

    name: str
    slot: int
    since: float


class ListWatch:
    """Looks at the lists in force every few seconds.

    `seen` are the packets of the last seconds, or None if nothing is observed. `found` has each
    list that is measured, by name. What it spares is told once in an hour.
    """

    def __init__(self, controller: Controller, seen: Callable[[float], Seen | None]) -> None:
        self._controller, self._seen = controller, seen
        self._lists: dict[str, _List] = {}
        self._told: dict[str, float] = {}
        self.found: Mapping[str, Spared] = {}
        task = PeriodicTask(
            "lists", _STEP_SECONDS, self.step, "it is not known whom lists hit; they stay"
        )
        self.start, self.stop = task.start, task.stop

    def step(self, now: float) -> None:
        """Measure each list that drops and spares known flows."""
        state, flows = self._controller.state, self._controller.datapath.flows
        held = {each.name: each.slot for each in list(state.sets.values()) if measured(each)}
        if held and Asking.ASKS not in flows.asking().values():
            held = {}
        before = self._lists
        self._lists = {
            name: before[name]
            if name in before and before[name].slot == slot
            else _List(name, slot, now)
            for name, slot in held.items()
        }
        seen = cache(self._seen)  # most lists are looked at for as long
        found = {each.name: _spared(each, now, seen) for each in self._lists.values()}
        self.found = {name: spared for name, spared in found.items() if spared is not None}
        self._tell(now)

    def _tell(self, now: float) -> None:
        told = {n: at for n, at in self._told.items() if n in self._lists}
        news = {
            name: spared
            for name, spared in self.found.items()
            if spared.sources and now >= told.get(name, -_AGAIN_SECONDS) + _AGAIN_SECONDS
        }
        if news:
            self._controller.submit(lambda draft: _note(draft, news)).result()
        self._told = told | dict.fromkeys(news, now)

    def warnings(self) -> list[str]:
        """What an operator should know."""
        return [
            f"the set {name} lists {spared}: those conversations go on, and what such a source "
            "begins is dropped; look whether the list is wrong (xdpctl lookup)"
            for name, spared in self.found.items()
            if spared.sources
        ]


def measured(held: SourceSet) -> bool:
    """Whether it can be measured whom a set hits."""
    return held.action is Action.DROP and held.mode is Mode.ENFORCE and held.spare.known_flows


def _spared(of: _List, now: float, seen: Callable[[float], Seen | None]) -> Spared | None:
    """Whom a list spares; None while that is not known."""
    if now <= of.since:  # its slot may have been another's until now
        return None
    look = seen(min(SECONDS_MAX, max(now - of.since, _STEP_SECONDS)))
    if look is None:
        return None
    return spared_of(look.packets[look.packets["slot"] == of.slot])


def spared_of(packets: PacketArray) -> Spared:
    """Whom a list spares, of the packets that it has met."""
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
    return Spared(int(talks.sum()), int(passed[talks].sum()), tuple(source(each) for each in most))


def _note(draft: Draft, news: Mapping[str, Spared]) -> None:
    for name, spared in news.items():
        draft.note("xdpctl", "set.spares", name, sources=spared.sources, why=str(spared))
