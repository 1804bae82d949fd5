# SPDX-License-Identifier: GPL-2.0-or-later
"""Validates the sources of what hosts inside send (RFC 2827), and tells who forges them.

The program at TC egress knows as forged what no side is known of. An operator may have forgotten a
network. So at first everything is let out, and networks for which packets come in are learnt: what
they send is let out for good.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from xdpctl.abi.constants import Asking, Side, Validation
from xdpctl.abi.sizes import OUTSIDES_MAX
from xdpctl.base.durations import show_duration
from xdpctl.base.net.prefix import Prefix, shown, text_of
from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.datapath.senders import Forger
from xdpctl.model.sides import Outside, in_use
from xdpctl.notify.changes import News, Severity
from xdpctl.notify.settings import Kind
from xdpctl.traffic.packets import PacketArray, destination
from xdpctl.traffic.sampler import Sampler
from xdpctl.watch.flows import index_of
from xdpctl.watch.hourly import HOUR_NS, MOST, Hourly

_SECONDS = 5.0
_WINDOW_SECONDS = 10.0
_LEARNT_MOST = 1_000  # networks; more were forgotten than a list can be wrong about
_LOOKED_AT = 500  # addresses, at once
_REMEMBERED = 100_000
_NAMED = 3
_TROUBLE = "sources of what goes out are not watched"
_HOW = {"off": Validation.NOT, "monitor": Validation.MONITOR, "enforce": Validation.ENFORCE}
_Key = tuple[str, int]


class ValidationWatch:
    """`ports` returns the interfaces as the loader reports them; `tell` sends a notification.

    `against` says why nothing is dropped although it should be, or is empty.
    """

    def __init__(
        self,
        controller: Controller,
        sampler: Sampler,
        outside: Outside,
        ports: Callable[[], Mapping[str, Mapping[str, Any]]],
        tell: Callable[[News], None],
        index: Callable[[str], int | None] = index_of,
    ) -> None:
        self._controller, self._sampler, self._ports = controller, sampler, ports
        self._mode, self._learn_ns = _HOW[outside.source_validation], int(outside.learning * 1e9)
        self._tell, self._index = tell, index
        self._begun: int | None = None  # when it began to count without dropping
        self._enforced = False
        self._looked_at = set[Prefix]()
        self._sides: Mapping[Prefix, Side] = {}
        self._hourly = Hourly[_Key]()
        self.against = ""
        beat = PeriodicTask("validation", _SECONDS, self.step, _TROUBLE)
        self.start, self.stop = beat.start, beat.stop

    def step(self, _: float = 0.0) -> None:
        """Learn networks in use, decide whether to drop, and note who forges."""
        word = self._controller.datapath.validation
        if self._mode is Validation.NOT:
            word.set(Validation.NOT, ())
            return
        outsides = [index for name in self._outside() if (index := self._index(name)) is not None]
        self._learn(outsides)
        wanted = self._wanted(self._controller.clock.read().ns, len(outsides))
        word.set(wanted, outsides[:OUTSIDES_MAX])
        self._enforced = wanted is Validation.ENFORCE
        self._note()

    def _outside(self) -> list[str]:
        return [name for name, port in self._ports().items() if port.get("outside")]

    def _wanted(self, now: int, outsides: int) -> Validation:
        enforcing = self._controller.datapath.validation.read() is Validation.ENFORCE
        self.against = self._reason_against(outsides)
        if self.against or (self._enforced and not enforcing) or self._begun is None:
            self._begun = now
        if self._mode is not Validation.ENFORCE or self.against:
            return Validation.MONITOR
        left = self._begun + self._learn_ns - now
        if enforcing or left <= 0:
            return Validation.ENFORCE
        self.against = f"that begins in {show_duration(left / 1e9)}"
        return Validation.MONITOR

    def _reason_against(self, outsides: int) -> str:
        if outsides > OUTSIDES_MAX:
            return f"there are more than {OUTSIDES_MAX} outside interfaces"
        if len(self._controller.state.in_use) > _LEARNT_MOST:
            return (
                f"packets come in for more than {_LEARNT_MOST:,} networks that are neither "
                "protected nor in outside.allow"
            )
        asking = self._controller.datapath.flows.asking()
        blind = [name for name, how in asking.items() if how is Asking.ASKS_NOT_ASYMMETRIC]
        if blind:
            return f"packets for hosts inside may come in elsewhere than by {blind[0]}"
        return "" if self._controller.state.sides else "it is not known yet what is inside"

    def _learn(self, outsides: Iterable[int]) -> None:
        """Note networks without a side for which packets come in, so that they get one."""
        state = self._controller.state
        if state.sides is not self._sides or len(self._looked_at) > _REMEMBERED:
            self._sides, self._looked_at = state.sides, set()
        window = self._sampler.last(_WINDOW_SECONDS)
        if window is None or not state.sides:
            return
        came = window.packets[np.isin(window.packets["interface"], list(outsides))]
        addresses = [each for each in _destinations(came) if each not in self._looked_at]
        addresses = addresses[:_LOOKED_AT]
        self._looked_at.update(addresses)
        news = in_use(state.sides, addresses) - state.in_use
        if news:
            self._controller.submit(lambda draft: _note_in_use(draft, news)).result()
            state.in_use |= news

    def recent(self) -> list[Forger]:
        """Who has sent with forged sources in the last hour, the last one first."""
        now = self._controller.clock.read().ns
        forgers = self._controller.datapath.forgers() if self._mode else []
        own = {port.get("mac") for port in self._ports().values()} if forgers else ()
        recent = [
            replace(each, mac="") if each.mac in own else each
            for each in forgers
            if now - each.last_ns < HOUR_NS
        ]
        return sorted(recent, key=lambda each: -each.last_ns)

    def _note(self) -> None:
        """Note and tell each of them, once an hour."""
        now = self._controller.clock.read().ns
        found = {(each.mac, each.source.family): each for each in self.recent()}
        keys, left = self._hourly.choose(now, found)
        if not keys:
            return
        news = [found[key] for key in keys]
        does = self._does()
        self._controller.submit(lambda draft: _note(draft, news, does, left)).result()
        self._hourly.note(now, keys)
        lines = [f"{each}: {does}" for each in news[:_NAMED]]
        if (more := len(news) + left - _NAMED) > 0:
            lines.append(f"{more} more do so: xdpctl attackers list")
        title = "a host inside sends with forged sources"
        text = "\n".join(lines)
        self._tell(News(Kind.TROUBLE, "forged sources", title, text, level=Severity.WARNING))

    def _does(self) -> str:
        return "they are dropped" if self._enforced else "they are let out, and counted"

    def warnings(self) -> list[str]:
        recent, does = self.recent(), self._does()
        warnings = [f"{each}: {does}" for each in recent[:_NAMED]]
        if (more := len(recent) - _NAMED) > 0:
            warnings.append(f"{more} more send with such sources (xdpctl attackers list)")
        if self._mode is Validation.ENFORCE and self.against:
            warnings.append(f"forged sources are not dropped: {self.against}")
        state = self._controller.state
        unnamed = sorted(each for each in state.in_use if state.sides.get(each) is Side.IN_USE)
        if unnamed:
            names = ", ".join(map(shown, unnamed[:_NAMED]))
            more_of = f" and {len(unnamed) - _NAMED} more" if len(unnamed) > _NAMED else ""
            warnings.append(
                f"packets come in for {names}{more_of}, so what is sent from there goes out: name "
                "it in protected or outside.allow"
            )
        return warnings


def _destinations(packets: PacketArray) -> list[Prefix]:
    """The addresses of single hosts to which packets come."""
    _, first = np.unique(packets["destination"], return_index=True)
    return [destination(packets[row]) for row in first.tolist()]


def _note_in_use(draft: Draft, networks: Iterable[Prefix]) -> None:
    for network in sorted(networks):
        why = "packets come in for it, so what is sent from there goes out"
        draft.note("xdpctl", "source.in_use", shown(network), why=why)


def _note(draft: Draft, forgers: Iterable[Forger], does: str, left: int) -> None:
    for each in forgers:
        detail = {"source": text_of(each.source), "mac": each.mac, "packets": each.packets}
        draft.note("xdpctl", "source.forged", each.mac, **detail, why=f"{each}: {does}")
    if left:
        why = f"{left} more are not noted; at most {MOST} an hour are"
        draft.note("xdpctl", "source.forged", "", why=why)
