# SPDX-License-Identifier: GPL-2.0-or-later
"""What decides about the packets of an address, in a sentence for whoever asks. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xdpctl.abi.constants import Reason
from xdpctl.base.clock import Now
from xdpctl.base.durations import show_duration
from xdpctl.model.rule import Rule

_PROVES = (Reason.CHALLENGED, Reason.ANSWERED)
_OTHERWISE = {
    Reason.SPOOFED: "by where it comes from: such an address is not outside",
    Reason.NEVER_ROUTED: "since such an address is not routed",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the loaded program does with packets of these services, to each destination in `to`."""

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
    def stops(self) -> bool:
        return self.reason.verdict == "drop"


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


def sentence(address: str, answers: Sequence[Answer], could_hit: Sequence[Rule], now: Now) -> str:
    """What to tell somebody at this address who cannot get in."""
    stopped = [each for each in answers if each.stops]
    out = [each for each in stopped if each.reason not in _PROVES]
    if out:
        everything = len(out) == len(answers)
        what = "is kept out" if everything else f"is kept out of {_places(out)}"
        return f"{address} {what} {_owners(out, now)}."
    if stopped:
        return (
            f"{address} gets in once it has shown that it exists, which programs do by themselves: "
            f"{_places(stopped)} {_owners(stopped, now)}."
        )
    if could_hit:
        more = f", and {len(could_hit) - 1} more" if len(could_hit) > 1 else ""
        return (
            f"What was tried of {address} passes. Other packets of it may meet "
            f"{_rule(could_hit[0], now)}{more}."
        )
    return f"Nothing here keeps {address} out: look elsewhere."


def _places(answers: Sequence[Answer]) -> str:
    """The services, and the hosts if it is not all of them."""
    services = ", ".join(dict.fromkeys(name for each in answers for name in each.services))
    hosts = dict.fromkeys(host for each in answers for host in each.to)
    first = ", ".join(list(hosts)[:3]) + (f" and {len(hosts) - 3} more" if len(hosts) > 3 else "")
    return f"{services} at {first}"


def _owners(answers: Sequence[Answer], now: Now) -> str:
    """Who decided, each once."""
    owners = dict.fromkeys(_owner(each, now) for each in answers)
    return ", and ".join(owners)


def _owner(answer: Answer, now: Now) -> str:
    if answer.rule:
        return f"by {_rule(answer.rule, now)}"
    if answer.set:
        return f"by the set {answer.set}"
    return _OTHERWISE.get(answer.reason, f"({answer.reason.name.lower().replace('_', ' ')})")


def _rule(rule: Rule, now: Now) -> str:
    """A rule in words, with its origin, reason and end."""
    article = "an" if rule.action.value[0] in "aeiou" else "a"
    because = f" ({rule.reason})" if rule.reason else ""
    ends = rule.kernel_expires_ns
    left = f", which ends in {show_duration((ends - now.ns) / 1e9)}" if ends else ""
    return f"{article} {rule.action} of {rule.origin}{because}: {rule.subject}{left}"
