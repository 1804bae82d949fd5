# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures whom lists hit: sources on them with which the inside is in conversation.

A list that spares known flows drops whoever begins, so only a conversation that the inside began,
or that is older than the entry, goes on: nobody on the list can cause one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from xdpctl.abi.constants import Asking, Reason
from xdpctl.base.net.prefix import Prefix, text_of
from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.model.rule import Action, Mode
from xdpctl.model.source_set import SourceSet
from xdpctl.traffic.packets import PacketArray, source
from xdpctl.traffic.window import SECONDS_MAX, Seen

_STEP_SECONDS = 5.0
_AGAIN_SECONDS = 3600.0  # a list of which this was told is not told of again within
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Spared:
    """Of the last minute: sampled sources of a list that are in conversation with the inside.

    `packets` is how many of theirs passed, estimated; `examples` are the sources with the most.
    """

    sources: int = 0
    packets: int = 0
    examples: tuple[Prefix, ...] = ()

    def __str__(self) -> str:
        named = ", ".join(map(text_of, self.examples))
        more = ", …" if self.sources > len(self.examples) else ""
        who = f"{self.sources} sources" if self.sources > 1 else "one source"
        return f"{who} that it lists in conversation with this network ({named}{more})"


class ListWatch:
    """Looks at the lists in force every few seconds; `seen` are the packets of the last seconds.

    `found` has each list that is measured, by name. What it spares is told once in an hour.
    """

    def __init__(self, controller: Controller, seen: Callable[[float], Seen]) -> None:
        self._controller, self._seen = controller, seen
        self._told: dict[str, float] = {}
        self.found: Mapping[str, Spared] = {}
        task = PeriodicTask(
            "lists", _STEP_SECONDS, self.step, "it is not known whom lists hit; they stay"
        )
        self.start, self.stop = task.start, task.stop

    def step(self, now: float) -> None:
        """Measure each list that drops and spares known flows."""
        state, flows = self._controller.state, self._controller.datapath.flows
        lists = {each.slot: each.name for each in list(state.sets.values()) if measured(each)}
        if not lists or Asking.ASKS not in flows.asking().values():
            self.found = {}
            return
        packets = self._seen(SECONDS_MAX).packets
        packets = packets[packets["reason"] == Reason.KNOWN]
        found = {name: spared_of(packets[packets["slot"] == slot]) for slot, name in lists.items()}
        self.found = found
        news = {name: spared for name, spared in found.items() if self._is_news(name, spared, now)}
        if news:
            self._controller.submit(lambda draft: _note(draft, news)).result()

    def _is_news(self, name: str, spared: Spared, now: float) -> bool:
        if not spared.sources or now < self._told.get(name, -_AGAIN_SECONDS) + _AGAIN_SECONDS:
            return False
        self._told[name] = now
        return True

    def warnings(self) -> list[str]:
        """What an operator should know."""
        return [
            f"the set {name} has {spared}: what they have begun is spared, and what they begin "
            f"now is dropped; if that is wrong, accept them (xdpctl allow)"
            for name, spared in self.found.items()
            if spared.sources
        ]


def measured(held: SourceSet) -> bool:
    """Whether it can be measured whom a set hits."""
    return held.action is Action.DROP and held.mode is Mode.ENFORCE and held.spare.known_flows


def spared_of(packets: PacketArray) -> Spared:
    """Whom these packets come from, which a list has spared."""
    if not len(packets):
        return Spared()
    keys = np.ascontiguousarray(packets[["family", "source"]])
    sources, places = np.unique(keys, return_inverse=True)
    sums = np.bincount(places.reshape(-1), packets["weight"])
    most = sources[np.argsort(-sums, kind="stable")[:_EXAMPLES]]
    return Spared(len(sources), int(sums.sum()), tuple(source(each) for each in most))


def _note(draft: Draft, news: Mapping[str, Spared]) -> None:
    for name, spared in news.items():
        draft.note("xdpctl", "set.spares", name, sources=spared.sources, why=str(spared))
