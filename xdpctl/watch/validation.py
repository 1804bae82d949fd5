# SPDX-License-Identifier: GPL-2.0-or-later
"""Validates the sources of what hosts inside send (RFC 2827), and tells who forges them.

The program at TC egress takes a source without a known side for forged. An operator may have
forgotten a network. So at first everything is let out, and networks for which packets come in are
learnt: what they send is let out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from xdpctl.abi.constants import Asking, FlowState, Reason, Side, Validation
from xdpctl.abi.sizes import OUTSIDES_MAX
from xdpctl.base.durations import show_duration
from xdpctl.base.net.prefix import Prefix, shown, text_of
from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.datapath.senders import Forger
from xdpctl.model.sides import Outside, in_use, side_of
from xdpctl.notify.changes import News, Severity
from xdpctl.notify.settings import Kind
from xdpctl.traffic.destinations import by_network
from xdpctl.traffic.packets import PACKET, PacketArray, destination
from xdpctl.traffic.sampler import Sampler
from xdpctl.watch import in_use_file
from xdpctl.watch.hourly import HOUR_NS, MOST, Hourly
from xdpctl.watch.loader_report import without_egress

_SECONDS = 5.0
_WINDOW_SECONDS = 10.0
_LEARNT_MOST = 1_000  # networks that nobody has named
_LOOKED_AT, _OF_NETWORK = 500, 20  # networks at once, and addresses of each
_REMEMBERED = 100_000
_NAMED = 3
_TROUBLE = "sources of what goes out are not watched"
_NOT_DROPPED = "forged sources are not dropped"
_HOW = {"off": Validation.NOT, "monitor": Validation.MONITOR, "enforce": Validation.ENFORCE}
_Key = tuple[str, int]
Ports = Mapping[str, Mapping[str, Any]]


class ValidationWatch:
    """`ports` returns the interfaces as the loader reports them; `tell` sends a notification.

    Networks in use are kept in the file `path`. `against` says why nothing is dropped although it
    should be, or is empty.
    """

    def __init__(
        self,
        controller: Controller,
        sampler: Sampler,
        outside: Outside,
        ports: Callable[[], Ports],
        tell: Callable[[News], None],
        path: Path,
    ) -> None:
        self._controller, self._sampler, self._ports = controller, sampler, ports
        self._mode, self._learn_ns = _HOW[outside.source_validation], int(outside.learning * 1e9)
        self._tell, self._path = tell, path
        self._left = self._learn_ns  # of learning
        self._stepped: int | None = None
        word = controller.datapath.validation
        enforced = word.read() is Validation.ENFORCE or word.fell_back
        self._enforced = enforced and self._mode is Validation.ENFORCE
        self._losses, self._unsaved = word.losses, False
        self._looked_at = set[Prefix]()
        self._sides: Mapping[Prefix, Side] = {}
        self._hourly, self._learnt = Hourly[_Key](), Hourly[Prefix]()
        self.against = ""
        self._beat = PeriodicTask("validation", _SECONDS, self.step, _TROUBLE)
        self.start, self.stop = self._beat.start, self._beat.stop

    def step(self, _: float = 0.0) -> None:
        """Learn networks in use, decide whether to drop, and note who forges."""
        if self._mode is Validation.NOT:
            self._controller.datapath.validation.set(Validation.NOT, ())
            return
        outside = {name: port for name, port in self._ports().items() if port.get("outside")}
        indexes = sorted({index for port in outside.values() for index in port.get("indexes", ())})
        learnt = self._learn(self._came(indexes))
        against = self._reason_against(outside, len(indexes))
        enforces = self._controller.submit(
            lambda draft: self._decide(draft, against, learnt, indexes[:OUTSIDES_MAX])
        ).result()
        enforced, self._enforced = self._enforced, enforces
        if enforced and not enforces:
            title = "forged sources are not dropped any more"
            self._tell(News(Kind.TROUBLE, title, title, self.against, level=Severity.WARNING))
        self._note()
        if self._unsaved:
            in_use_file.write(self._path, self._controller.state.in_use)
            self._unsaved = False

    def _decide(self, draft: Draft, against: str, learnt: bool, indexes: Sequence[int]) -> bool:
        """Set whether to drop, and return it; as an operation, since a change of sides may, too."""
        now, word = draft.now.ns, self._controller.datapath.validation
        enforcing = word.read() is Validation.ENFORCE
        if against or word.losses != self._losses or (self._enforced and not enforcing):
            self._left, self._losses = self._learn_ns, word.losses
        elif learnt and self._stepped is not None:
            self._left -= now - self._stepped
        self._stepped = now
        if not against and not enforcing and self._left > 0:
            left = show_duration(self._left / 1e9)
            against = f"it learns which networks are in use, {left} of traffic to go"
        enforces = self._mode is Validation.ENFORCE and not against
        word.set(Validation.ENFORCE if enforces else Validation.MONITOR, indexes)
        self.against = against if self._mode is Validation.ENFORCE else ""
        if self._enforced and not enforces:
            draft.note("xdpctl", "source.validation", "", why=f"{_NOT_DROPPED}: {against}")
        return enforces

    def _reason_against(self, outside: Ports, indexes: int) -> str:
        state = self._controller.state
        absent = [name for name, port in outside.items() if not port.get("indexes")]
        routed = [name for name, port in outside.items() if port.get("vrf")]
        unseen = without_egress(outside)
        asking = self._controller.datapath.flows.asking()
        blind = [name for name, how in asking.items() if how is Asking.ASKS_NOT_ASYMMETRIC]
        if absent:
            return f"the outside interface {absent[0]} is not there"
        if not indexes:
            return "no outside interface is there"
        for name, why in unseen.items():
            return f"what goes out by {name} is not looked at: {why}"
        if routed:
            vrf = outside[routed[0]]["vrf"]
            return f"{routed[0]} is in the VRF {vrf}, where nobody knows what came in from outside"
        if indexes > OUTSIDES_MAX:
            return f"there are more than {OUTSIDES_MAX} interfaces outside, or above these"
        if len(self._unnamed()) >= _LEARNT_MOST:
            return f"packets come in for {_LEARNT_MOST:,} networks or more that nobody named"
        if blind:
            return f"packets for hosts inside may come in elsewhere than by {blind[0]}"
        return "" if state.sides else "it is not known yet what is inside"

    def _came(self, indexes: Sequence[int]) -> PacketArray:
        """What came in from outside in the last seconds, without what was dropped."""
        window = self._sampler.last(_WINDOW_SECONDS)
        packets = window.packets if window else np.empty(0, PACKET)
        return packets[
            np.isin(packets["interface"], indexes) & (packets["reason"] < Reason.DROPPED)
        ]

    def _learn(self, came: PacketArray) -> bool:
        """Note networks without a side for which packets come in, so that they get one.

        Returns whether this shows what is in use: there are known flows, and all was looked at.
        """
        state = self._controller.state
        if not state.sides:
            return False
        if state.sides is not self._sides or len(self._looked_at) > _REMEMBERED:
            self._sides, self._looked_at = state.sides, set()
            self._forget_named()
        groups = [group for group in by_network(came) if group[0] not in self._looked_at]
        chosen = [groups[at] for at in np.random.default_rng().permutation(len(groups))]
        covered, addresses, missed = set[Prefix](), set[Prefix](), len(groups) > _LOOKED_AT
        for network, packets in chosen[:_LOOKED_AT]:
            if side_of(state.sides, network) is not Side.UNKNOWN:
                covered.add(network)
                continue
            _, places = np.unique(packets["destination"], return_index=True)
            new = {destination(packets[at]) for at in places.tolist()} - self._looked_at
            missed |= len(new) > _OF_NETWORK
            for address in islice(new, _OF_NETWORK):
                known = side_of(state.sides, address) is not Side.UNKNOWN
                (covered if known else addresses).add(address)
        news = sorted(in_use(state.sides, addresses) - state.in_use)
        news = news[: _LEARNT_MOST - len(self._unnamed())]
        if news:
            self._keep(news)
        self._looked_at |= covered
        return not missed and bool((came["flow"] == FlowState.KNOWN).any())

    def _unnamed(self) -> list[Prefix]:
        """The networks in use that nobody has named, or that have no side yet."""
        state = self._controller.state
        return sorted(
            each
            for each in state.in_use
            if side_of(state.sides, each) in (Side.IN_USE, Side.UNKNOWN)
        )

    def _forget_named(self) -> None:
        """Forget the networks that somebody has named since."""
        state = self._controller.state
        unnamed = frozenset(self._unnamed())
        self._unsaved |= unnamed != state.in_use
        state.in_use = unnamed

    def _keep(self, news: Sequence[Prefix]) -> None:
        self._controller.state.in_use |= set(news)
        self._unsaved = True
        now = self._controller.clock.read().ns
        keys, left = self._learnt.choose(now, news)
        self._controller.submit(lambda draft: _note_in_use(draft, keys, left)).result()
        self._learnt.note(now, keys)

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
        text, key = "\n".join(lines), f"forged sources {news[0].mac}"
        self._tell(News(Kind.TROUBLE, key, title, text, level=Severity.WARNING))

    def _does(self) -> str:
        return "they are dropped" if self._enforced else "they are let out, and counted"

    def about(self, source: Prefix) -> str:
        """What is done with packets that hosts inside send from an address; empty if nothing is."""
        if self._mode is Validation.NOT:
            return ""
        does = "that is dropped" if self._enforced else "that is counted, and goes out"
        match side_of(self._controller.state.sides, source):
            case Side.UNKNOWN:
                if not self._controller.state.sides:
                    return ""
                return f"it is in none of your networks: if a host inside sends from it, {does}"
            case Side.IN_USE:
                return "what a host inside sends from it goes out, as packets come in for it"
            case _:
                return ""

    def warnings(self) -> list[str]:
        recent, does = self.recent(), self._does()
        warnings = [f"{each}: {does}" for each in recent[:_NAMED]]
        if (more := len(recent) - _NAMED) > 0:
            warnings.append(f"{more} more send with such sources (xdpctl attackers list)")
        if self._beat.problem:
            warnings.append(f"{_TROUBLE}: {self._beat.problem}")
        if self.against:
            warnings.append(f"{_NOT_DROPPED}: {self.against}")
        if unnamed := self._unnamed():
            names = ", ".join(map(shown, unnamed[:_NAMED]))
            more_of = f" and {len(unnamed) - _NAMED} more" if len(unnamed) > _NAMED else ""
            warnings.append(
                f"packets come in for {names}{more_of}, so what is sent from there goes out: name "
                "it in protected or outside.allow"
            )
        return warnings


def _note_in_use(draft: Draft, networks: Iterable[Prefix], left: int) -> None:
    for network in networks:
        why = "packets come in for it, so what is sent from there goes out"
        draft.note("xdpctl", "source.in_use", shown(network), why=why)
    if left:
        why = f"{left} more networks are not noted; at most {MOST} an hour are"
        draft.note("xdpctl", "source.in_use", "", why=why)


def _note(draft: Draft, forgers: Iterable[Forger], does: str, left: int) -> None:
    for each in forgers:
        detail = {"source": text_of(each.source), "mac": each.mac, "packets": each.packets}
        draft.note("xdpctl", "source.forged", each.mac, **detail, why=f"{each}: {does}")
    if left:
        why = f"{left} more are not noted; at most {MOST} an hour are"
        draft.note("xdpctl", "source.forged", "", why=why)
