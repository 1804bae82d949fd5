# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits hosts inside that attack others, if `detect.attackers_pps` says so.

The kernel has the limits, and ends each after ten minutes. What it drops is not sampled, so only
then it is seen whether the attack goes on, and the limit begins again. Here limits are begun, ended
early, and told.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from xdpctl.abi.constants import Traffic
from xdpctl.abi.sizes import POLICERS
from xdpctl.base.net.prefix import Prefix, text_of
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.datapath.policers import Policer
from xdpctl.errors import XdpctlError
from xdpctl.flood.attack import Attack
from xdpctl.flood.limiting import in_words, kind_of, policer_of
from xdpctl.flood.settings import DetectSettings, Most
from xdpctl.model.effect import Automatic
from xdpctl.model.identity import Caller
from xdpctl.watch.hourly import HOUR_NS, MOST, Hourly

_LASTS_NS = 600 * 1_000_000_000
_NAMED = 3  # in warnings
_TROUBLE = "an attack of a host inside is not limited"
_Held = Mapping[Prefix, Sequence[Policer]]


class Limit(NamedTuple):
    """A limit of one host inside."""

    host: Prefix
    policer: Policer

    @property
    def key(self) -> tuple[Prefix, object]:
        """What makes two limits the same, whatever their rate, time and MAC address."""
        return self.host, self.policer.key

    def __str__(self) -> str:
        return in_words(self.host, self.policer)


class Policing:
    """Limits of hosts inside; `problem` says what the last step could not do, or is empty.

    `mode` is that of the embedded detector: nothing is limited unless it may enforce rules.
    """

    def __init__(
        self, controller: Controller, detect: DetectSettings, mode: Callable[[], Automatic]
    ) -> None:
        self._controller, self._detect, self._mode = controller, detect, mode
        self._pps = detect.attackers_pps or 0
        self._released: dict[Prefix, int] = {}
        self._hourly = Hourly[tuple[Prefix, object]]()
        self._limits: list[Limit] = []
        self.problem = ""

    def limits(self) -> list[Limit]:
        """What is in force, those that end last first."""
        now = self._controller.clock.read().ns
        return [limit for limit in self._limits if limit.policer.until_ns > now]

    def step(self, attacks: Iterable[Attack]) -> list[Limit]:
        """Begin and end limits; return those that have begun."""
        now, begun, errors = self._controller.clock.read().ns, list[Limit](), list[XdpctlError]()
        try:
            self._keep_up(now)
            for attack in attacks:
                try:
                    begun += self._begin(attack, now)
                except XdpctlError as error:  # the others are limited all the same
                    errors.append(error)
            self._limits = _limits(self._controller.datapath.policers.read())
        except XdpctlError as error:
            errors.append(error)
        more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
        self.problem = f"{_TROUBLE}: {errors[0]}{more}" if errors else ""
        return begun

    def _keep_up(self, now: int) -> None:
        """Remove limits that have ended or are not allowed, and set the rate of the others."""
        policers = self._controller.datapath.policers
        held = policers.read()
        if held:
            self._controller.submit(lambda _: policers.refresh()).result()
        wanted = {host: self._kept(host, of_host, now) for host, of_host in held.items()}
        changed = [host for host in held if list(held[host]) != wanted[host]]
        if changed:
            self._controller.submit(lambda _: self._write(changed, wanted)).result()

    def _write(self, changed: Iterable[Prefix], wanted: _Held) -> None:
        policers = self._controller.datapath.policers
        there = policers.read()
        for host in changed:
            if host in there:  # else it was released meanwhile
                policers.put(host, wanted[host])

    def _kept(self, host: Prefix, policers: Iterable[Policer], now: int) -> list[Policer]:
        kept = [each for each in policers if each.until_ns > now]
        kept = [each for each in kept if self._is_allowed(Limit(host, each))]
        return [replace(each, pps=self._pps) for each in kept]

    def _is_allowed(self, limit: Limit) -> bool:
        """Whether policy allows it. Whom this box itself needs, and who is logged in, is let be."""
        host, to = limit.host, limit.policer.destination
        if not self._pps or self._mode() is not Automatic.ON:
            return False
        if not self._may_limit(host, kind_of(limit.policer)):
            return False
        state = self._controller.state
        protection = state.protection
        if not protection.own:  # nobody has said yet what this box itself needs
            return False
        if host in protection.own or host in protection.why:
            return False
        people = state.people(self._controller.clock.read().ns)
        return to is None or (protection.over(to) is None and to not in people)

    def _may_limit(self, host: Prefix, kind: Traffic) -> bool:
        return self._detect.most(host, kind) in (Most.LIMIT, Most.DROP)

    def _begin(self, attack: Attack, now: int) -> list[Limit]:
        """Limit a host, unless it is limited so; the limit if it is new."""
        policer = policer_of(attack, self._pps, now + _LASTS_NS) if self._pps else None
        if policer is None or attack.source is None:
            return []
        limit = Limit(attack.source, policer)
        if not self._is_allowed(limit) or not self._may_limit(limit.host, attack.kind):
            return []
        if self._is_released(limit.host, now):
            return []
        if not self._has_room(limit):
            return []
        # A note is stored when its operation ends. Only then the limit begins.
        self._note(limit, attack, now)
        begun = self._controller.submit(lambda _: self._apply(limit, now)).result()
        return [limit] if begun else []

    def _has_room(self, limit: Limit) -> bool:
        """False if the host has this limit; XdpctlError if it has too many others."""
        held = self._controller.datapath.policers.read().get(limit.host, ())
        same = [each for each in held if each.key == limit.policer.key]
        if not same and len(held) >= POLICERS:
            raise XdpctlError(f"{text_of(limit.host)} has {POLICERS} limits, which is the most")
        return all(each.mac != limit.policer.mac for each in same)

    def _note(self, limit: Limit, attack: Attack, now: int) -> None:
        """Note it, once an hour; XdpctlError if too many have begun."""
        new, _ = self._hourly.choose(now, [limit.key])
        if new:
            self._controller.submit(lambda draft: _note(draft, limit, attack)).result()
            self._hourly.note(now, new)
        elif limit.key not in self._hourly:
            raise XdpctlError(f"{MOST} limits have begun within an hour, which is the most")

    def _is_released(self, host: Prefix, now: int) -> bool:
        """Whether somebody has released the host within the last hour."""
        return now - self._released.get(host, -HOUR_NS) < HOUR_NS

    def _apply(self, limit: Limit, now: int) -> bool:
        if self._is_released(limit.host, now):  # meanwhile
            return False
        policers = self._controller.datapath.policers
        held = policers.read().get(limit.host, ())
        others = [each for each in held if each.key != limit.policer.key]
        policers.put(limit.host, [*others, limit.policer])
        return True

    def release(self, draft: Draft, host: Prefix, who: Caller) -> list[Limit]:
        """End all limits of a host, and begin none for an hour; call it as an operation."""
        now, policers = draft.now.ns, self._controller.datapath.policers
        ended = _limits({host: policers.read().get(host, ())})
        policers.put(host, [])
        released = {each: at for each, at in self._released.items() if now - at < HOUR_NS}
        self._released = released | {host: now}
        self._limits = [limit for limit in self._limits if limit.host != host]
        draft.note(who.name, "host.release", text_of(host), limits=list(map(str, ended)))
        return ended

    def warnings(self) -> list[str]:
        limits = self.limits()
        warnings = [self.problem] if self.problem else []
        warnings += [
            f"{limit}, since it attacks others (xdpctl attackers list)" for limit in limits[:_NAMED]
        ]
        if (more := len(limits) - _NAMED) > 0:
            warnings.append(f"{more} more limits of hosts inside (xdpctl attackers list)")
        return warnings


def _limits(held: _Held) -> list[Limit]:
    """All limits, those that end last first."""
    limits = [Limit(host, policer) for host, policers in held.items() for policer in policers]
    return sorted(limits, key=lambda limit: -limit.policer.until_ns)


def _note(draft: Draft, limit: Limit, attack: Attack) -> None:
    detail = {"pps": limit.policer.pps, "mac": attack.mac, "limit": str(limit)}
    draft.note("xdpctl", "host.limit", text_of(limit.host), **detail, why=f"it {attack}")
