# SPDX-License-Identifier: GPL-2.0-or-later
"""Tells which hosts inside attack others, and has them limited if policy says so."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xdpctl.abi.constants import Asking
from xdpctl.base.net.prefix import shown, text_of
from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.flood.attack import Attack, Does
from xdpctl.flood.attacking import attacks
from xdpctl.flood.settings import DetectSettings, Most
from xdpctl.model.effect import Automatic
from xdpctl.notify.changes import News, Severity
from xdpctl.notify.settings import Kind
from xdpctl.traffic.sampler import Sampler
from xdpctl.traffic.window import Seen
from xdpctl.watch.flows import index_of
from xdpctl.watch.hourly import MOST, Hourly
from xdpctl.watch.policing import Limit, Policing

_SECONDS, _WINDOW_SECONDS = 5.0, 10.0
_PART_SECONDS, _SLACK_SECONDS = 2.0, 0.3
_RECENT_NS = 600 * 1_000_000_000  # for which an attack is told after its end
_LOUDER = 2.0  # times the rate that was told
_NAMED = 3  # in warnings, and in a message
_TROUBLE = "it is not told which hosts inside attack others"
_Key = tuple[str, Does]


@dataclass(frozen=True, slots=True)
class Attacker:
    """A host inside with the loudest attack of a kind, and when it was seen (CLOCK_MONOTONIC)."""

    attack: Attack
    first_ns: int
    last_ns: int

    def __str__(self) -> str:
        at = f" (MAC {self.attack.mac})" if self.attack.mac and self.attack.source else ""
        return f"{self.attack.who}{at} {self.attack}"


class AttackerWatch:
    """`ports` returns the interfaces as the loader reports them, `mode` what the embedded detector
    may do; `tell` sends a notification.

    No MAC address is told that is an interface's own: of what is routed, every frame has that.
    Nothing is told of hosts for which `detect` has the mode off, and of what comes in from outside
    and goes out again.
    """

    def __init__(
        self,
        controller: Controller,
        sampler: Sampler,
        detect: DetectSettings,
        ports: Callable[[], Mapping[str, Mapping[str, Any]]],
        tell: Callable[[News], None],
        mode: Callable[[], Automatic],
        index: Callable[[str], int | None] = index_of,
    ) -> None:
        self._controller, self._sampler, self._detect = controller, sampler, detect
        self._ports, self._tell, self._index = ports, tell, index
        self._attackers: dict[_Key, Attacker] = {}
        self._hourly = Hourly[_Key]()
        self.policing = Policing(controller, detect, mode)
        beat = PeriodicTask("attackers", _SECONDS, self.step, _TROUBLE)
        self.start, self.stop = beat.start, beat.stop

    def recent(self) -> list[Attacker]:
        """The attackers of the last ten minutes, the last one first."""
        now = self._controller.clock.read().ns
        recent = [each for each in self._attackers.values() if now - each.last_ns < _RECENT_NS]
        return sorted(recent, key=lambda each: (-each.last_ns, -each.attack.rate))

    def step(self, _: float = 0.0) -> None:
        """Judge the last seconds, note what is new, and see to the limits."""
        found: list[Attack] = []
        try:
            found = self._judged()
            self._note(found)
        finally:
            if limits := self.policing.step(found):
                self._tell(_limited(limits))

    def _note(self, attacks: Iterable[Attack]) -> None:
        """Keep the loudest attack of each kind of each host; note and tell what is new."""
        now = self._controller.clock.read().ns
        found: dict[_Key, Attack] = {}
        for attack in attacks:
            found.setdefault((attack.who, attack.does), attack)
        attackers = {(each.attack.who, each.attack.does): each for each in self.recent()}
        for key, attack in found.items():
            attackers[key] = _merged(attackers.get(key), attack, now)
        last = sorted(attackers.items(), key=lambda item: (-item[1].last_ns, -item[1].attack.rate))
        self._attackers = dict(last[:MOST])
        keys, left = self._hourly.choose(now, found)
        if keys:
            news = [attackers[key] for key in keys]
            self._controller.submit(lambda draft: _note(draft, news, left)).result()
            self._hourly.note(now, keys)
            self._tell(_message(news, left))

    def _judged(self) -> list[Attack]:
        if self._sampler.last(_WINDOW_SECONDS) is None:
            return []
        out = self._of_ours(self._sampler.out.last(_WINDOW_SECONDS))
        begun, ended = out.begun - _SLACK_SECONDS, out.ended + _SLACK_SECONDS
        came = self._sampler.window.parts(begun, ended, _PART_SECONDS)
        return [attack for attack in attacks(out, came) if self._watches(attack)]

    def _watches(self, attack: Attack) -> bool:
        if attack.source is None:
            return self._detect.mode is not Most.OFF
        return self._detect.most(attack.source, attack.kind) is not Most.OFF

    def _of_ours(self, out: Seen) -> Seen:
        """What comes from inside, without interfaces where no answers are seen."""
        asking, ports = self._controller.datapath.flows.asking(), self._ports()
        outside = [name for name, port in ports.items() if port.get("outside")]
        blind = [name for name in outside if ports[name]["state"] != "attached"]
        blind += [name for name, how in asking.items() if how is Asking.ASKS_NOT_ASYMMETRIC]
        chosen = ~np.isin(out.packets["interface"], self._indexes(blind))
        chosen &= ~np.isin(out.packets["came_by"], self._indexes(outside))
        packets = out.packets[chosen]
        for mac in {str(port.get("mac") or "") for port in ports.values()}:
            own = np.frombuffer(bytes.fromhex(mac.replace(":", ""))[:6].ljust(6, b"\0"), np.uint8)
            packets["mac"][(packets["mac"] == own).all(1)] = 0
        return replace(out, packets=packets)

    def _indexes(self, names: Iterable[str]) -> list[int]:
        found = [self._index(name) for name in names]
        return [index for index in found if index is not None]

    def warnings(self) -> list[str]:
        recent = self.recent()
        warnings = [str(each) for each in recent[:_NAMED]]
        if (more := len(recent) - _NAMED) > 0:
            warnings.append(f"{more} more hosts inside attack others (xdpctl attackers list)")
        return warnings + self.policing.warnings()


def _merged(before: Attacker | None, attack: Attack, now: int) -> Attacker:
    """Figures stay as they were told while the attack is hardly louder, so that texts stay."""
    if before is None:
        return Attacker(attack, now, now)
    told = before.attack
    same = replace(attack, rate=told.rate, seen=told.seen) == told
    if same and attack.rate < _LOUDER * told.rate:
        return replace(before, last_ns=now)
    return Attacker(attack, before.first_ns, now)


def _message(news: Sequence[Attacker], left: int) -> News:
    first = news[0].attack
    lines = [str(each) for each in news[:_NAMED]]
    if (more := len(news) + left - _NAMED) > 0:
        lines.append(f"{more} more hosts do such things: xdpctl attackers list")
    title = f"{first.who} attacks others"
    key = f"{first.who} {first.does}"
    return News(Kind.TROUBLE, key, title, "\n".join(lines), level=Severity.WARNING)


def _limited(limits: Sequence[Limit]) -> News:
    host = text_of(limits[0].host)
    lines = [str(limit) for limit in limits[:_NAMED]]
    if (more := len(limits) - _NAMED) > 0:
        lines.append(f"{more} more limits have begun: xdpctl attackers list")
    lines.append(f"To end it: xdpctl attackers release {host}")
    title, key = f"{host} is limited, since it attacks others", f"{host} limit"
    return News(Kind.TROUBLE, key, title, "\n".join(lines), level=Severity.WARNING)


def _note(draft: Draft, news: Iterable[Attacker], left: int) -> None:
    for each in news:
        attack = each.attack
        detail = {
            "does": attack.does.value,
            "kind": attack.kind.setting,
            "pps": round(attack.rate),
            "destination": shown(attack.destination) if attack.destination else "",
            "mac": attack.mac,
        }
        draft.note("xdpctl", "host.attacks", attack.who, **detail, why=str(each))
    if left:
        why = f"{left} more hosts are not noted; at most {MOST} an hour are"
        draft.note("xdpctl", "host.attacks", "", why=why)
