# SPDX-License-Identifier: GPL-2.0-or-later
"""What decides about the packets of an address, in a sentence for whoever asks. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from xdpctl.abi.constants import Reason
from xdpctl.base.clock import Now
from xdpctl.base.durations import show_duration
from xdpctl.model.rule import OPERATOR, Rule

_OF_THE_SOURCE = (Reason.PROTECTED, Reason.BYPASS, Reason.SPOOFED)
_TOLD = 3  # hosts, and requests to providers
_SILENT = "The loader does not report, so whether the filter is attached is not known."
_FORGED = (
    "is taken for forged, since such an address cannot come from outside: it is kept out, whatever "
    "rules let pass"
)


class Verdict(StrEnum):
    """What happens to packets: a limit drops what exceeds it, a challenge lets in who exists."""

    PASS = "pass"  # noqa: S105  # no password
    DROP = "drop"
    LIMIT = "limit"
    CHALLENGE = "challenge"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the loaded program does with packets of these services, to each destination in `to`.

    LIMITED is also the reason of a packet that met a limit and did not exceed it.
    """

    services: Sequence[str]
    to: Sequence[str]
    reason: Reason
    rule: Rule | None = None
    set: str | None = None

    @property
    def decided_by(self) -> tuple[str, str, Reason]:
        """What decided: answers that agree in this are one."""
        return self.rule.id if self.rule else "", self.set or "", self.reason

    @property
    def verdict(self) -> Verdict:
        special = {Reason.LIMITED: Verdict.LIMIT, Reason.CHALLENGED: Verdict.CHALLENGE}
        return special.get(self.reason) or Verdict(self.reason.verdict)

    @property
    def by_source(self) -> bool:
        """Whether all packets of the source meet the same end, whatever else they are."""
        of_rule = self.set is not None or (self.rule is not None and bool(self.rule.by_source))
        return of_rule or self.reason in _OF_THE_SOURCE


def together(answers: Iterable[Answer]) -> list[Answer]:
    """Fewer answers, which say the same: of one decision for many destinations and services."""
    of_services: dict[Any, Answer] = {}
    for each in answers:
        key = tuple(each.services), each.decided_by
        before = of_services[key].to if key in of_services else ()
        of_services[key] = replace(each, to=(*before, *each.to))
    found: dict[Any, Answer] = {}
    for each in of_services.values():
        same = tuple(each.to), each.decided_by
        others = found[same].services if same in found else ()
        found[same] = replace(each, services=(*others, *each.services))
    return list(found.values())


def sentence(
    address: str,
    answers: Sequence[Answer],
    others: Sequence[Rule],
    now: Now,
    unfiltered: Sequence[str] = (),
    asked: Sequence[str] = (),
    silent: bool = False,
) -> str:
    """What to tell somebody at this address who cannot get in.

    `others` are rules that other packets of it may meet, `unfiltered` interfaces without the
    filter, `asked` requests to providers that are in force. `silent`: the loader does not report.
    """
    before = f"{', '.join(unfiltered)} is not filtered now. " if unfiltered else ""
    before = f"{_SILENT} " if silent else before
    said = _decided(address, answers, now)
    if not said and others:
        more = f", and {len(others) - 1} more" if len(others) > 1 else ""
        may = f"Other packets of it may meet {_rule(others[0], now)}{more}"
        said = f"What was tried of {address} passes. {may}"
    if not said:
        said = f"Nothing on this box keeps {address} out"
        said += "" if asked else ": look elsewhere"
    left = f"; and {len(asked) - _TOLD} more" if len(asked) > _TOLD else ""
    after = f" Beyond this box: {'; '.join(asked[:_TOLD])}{left}." if asked else ""
    return f"{before}{said}.{after}"


def _decided(address: str, answers: Sequence[Answer], now: Now) -> str:
    """What the answers say; empty if all packets pass."""
    of = {verdict: [each for each in answers if each.verdict is verdict] for verdict in Verdict}
    if any(each.reason is Reason.BYPASS for each in answers):
        return f"The bypass is on: everything passes, {address} too"
    if out := of[Verdict.DROP]:
        if all(each.reason is Reason.SPOOFED for each in out):
            return f"{address} {_FORGED}"
        if len(out) == len(answers):
            owners = dict.fromkeys(_owner(each, now) for each in out)
            return f"{address} is kept out {', and '.join(owners)}"
        return f"{address} is kept out of {_by_owner(out, now)}"
    if proves := of[Verdict.CHALLENGE]:
        return (
            f"{address} gets in once it has shown that it exists, which programs do by themselves: "
            f"{_by_owner(proves, now)}"
        )
    if limited := of[Verdict.LIMIT]:
        limits = dict.fromkeys(_rule(each.rule, now) for each in limited if each.rule)
        return f"{address} gets in to {_places(limited)} up to {', and '.join(limits)}"
    return ""


def _places(answers: Sequence[Answer]) -> str:
    """The services, and the hosts."""
    services = ", ".join(dict.fromkeys(name for each in answers for name in each.services))
    hosts = list(dict.fromkeys(host for each in answers for host in each.to))
    more = f" and {len(hosts) - _TOLD} more" if len(hosts) > _TOLD else ""
    return f"{services} at {', '.join(hosts[:_TOLD])}{more}"


def _by_owner(answers: Sequence[Answer], now: Now) -> str:
    """The services and hosts of which each rule or set decides."""
    of: dict[str, list[Answer]] = {}
    for each in answers:
        of.setdefault(_owner(each, now), []).append(each)
    return ", and of ".join(f"{_places(mine)} {owner}" for owner, mine in of.items())


def _owner(answer: Answer, now: Now) -> str:
    if answer.rule:
        return f"by {_rule(answer.rule, now)}"
    if answer.set:
        return f"by the set {answer.set}"
    return f"({answer.reason.name.lower().replace('_', ' ')})"


def _rule(rule: Rule, now: Now) -> str:
    """A rule in words, with its origin, reason and end."""
    whose = "an operator's" if rule.origin == OPERATOR else f"{rule.origin}'s"
    because = f" ({rule.reason})" if rule.reason else ""
    ends = rule.kernel_expires_ns
    left = f", which ends in {show_duration((ends - now.ns) / 1e9)}" if ends else ""
    return f"{whose} {rule.action}{because}: {rule.subject}{left}"
