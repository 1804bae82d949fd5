# SPDX-License-Identifier: GPL-2.0-or-later
"""Tells who inside sends to the prefixes of out sets, and where such a set does nothing."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from xdpctl.base.net.prefix import text_of
from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.datapath.senders import Sender
from xdpctl.model.effect import Mode
from xdpctl.model.source_set import SourceSet
from xdpctl.watch.hourly import HOUR_NS, MOST, Hourly
from xdpctl.watch.loader_report import without_egress

_SECONDS = 10.0
_NAMED = 3
_TROUBLE = "senders are not reported now; sets stay in force"


class SenderWatch:
    """`ports` returns the interfaces as the loader reports them.

    No MAC address is told that is an interface's own: of what is routed, every frame has that.
    """

    def __init__(
        self, controller: Controller, ports: Callable[[], Mapping[str, Mapping[str, Any]]]
    ) -> None:
        self._controller, self._ports = controller, ports
        self._hourly = Hourly[tuple[str, str]]()
        self._recent: list[tuple[SourceSet, Sender]] = []
        beat = PeriodicTask("senders", _SECONDS, self.step, _TROUBLE)
        self.start, self.stop = beat.start, beat.stop

    def of(self, source_set: SourceSet) -> list[Sender]:
        """The addresses inside that sent to a set so far, the last one first."""
        return [sender for _, sender in self._of([source_set])]

    def _of(self, sets: list[SourceSet]) -> list[tuple[SourceSet, Sender]]:
        by_slot = {source_set.slot: source_set for source_set in sets}
        senders = self._controller.datapath.senders() if by_slot else []
        own = {port.get("mac") for port in self._ports().values()} if senders else ()
        pairs = [
            (by_slot[each.slot], replace(each, mac="") if each.mac in own else each)
            for each in senders
            if each.slot in by_slot
        ]
        return sorted(pairs, key=lambda pair: -pair[1].last_ns)

    def step(self, _: float = 0.0) -> None:
        """Note each address that sends to a set, at most once an hour."""
        now = self._controller.clock.read().ns
        pairs = self._of(self._sets())
        self._recent = [pair for pair in pairs if now - pair[1].last_ns < HOUR_NS]
        by_who = {(of.name, text_of(sender.address)): (of, sender) for of, sender in self._recent}
        keys, left = self._hourly.choose(now, by_who)
        if keys:
            told = [by_who[who] for who in keys]
            self._controller.submit(lambda draft: _note(draft, told, left)).result()
            self._hourly.note(now, keys)

    def _sets(self) -> list[SourceSet]:
        sets = list(self._controller.state.sets.values())
        return [source_set for source_set in sets if source_set.out]

    def numbers(self) -> dict[str, int]:
        """How many addresses inside sent to each out set in the last hour."""
        counted = Counter(source_set.name for source_set, _ in self._recent)
        return {source_set.name: counted[source_set.name] for source_set in self._sets()}

    def warnings(self) -> list[str]:
        warnings = [warning for source_set in self._sets() for warning in self.gaps(source_set)]
        newest = self._recent[:_NAMED]
        warnings += [f"{_told(*pair)}: look for malware there" for pair in newest]
        if (more := len(self._recent) - _NAMED) > 0:
            warnings.append(
                f"{more} more addresses inside send to listed destinations (xdpctl set list NAME)"
            )
        return warnings

    def gaps(self, source_set: SourceSet) -> list[str]:
        """Where an out set does nothing, a sentence for each reason."""
        if not source_set.out:
            return []
        ports = self._ports()
        outside = {name: port for name, port in ports.items() if port.get("outside")}
        if ports and not outside:
            return [
                f"the set {source_set.name} does nothing: it acts where packets leave by an "
                'outside interface, and none is outside (interfaces = [{name = "eth0", '
                'side = "outside"}])'
            ]
        return [
            f"the set {source_set.name} does nothing at {name}: {why}"
            for name, why in without_egress(outside).items()
        ]


def _told(source_set: SourceSet, sender: Sender) -> str:
    at = f" (MAC {sender.mac})" if sender.mac else ""
    does = "drops it" if source_set.mode is Mode.ENFORCE else "only counts it"
    return (
        f"{text_of(sender.address)}{at} sends to {text_of(sender.destination)}, which the set "
        f"{source_set.name} lists and {does}"
    )


def _note(draft: Draft, pairs: Iterable[tuple[SourceSet, Sender]], left: int) -> None:
    for source_set, sender in pairs:
        address, to = text_of(sender.address), text_of(sender.destination)
        detail = {"source": address, "destination": to, "mac": sender.mac}
        why = _told(source_set, sender)
        draft.note("xdpctl", "set.sends", source_set.name, **detail, why=why)
    if left:
        why = f"{left} more addresses are not noted; at most {MOST} an hour are"
        draft.note("xdpctl", "set.sends", "", why=why)
