# SPDX-License-Identifier: GPL-2.0-or-later
"""What is done about an attack: limits and drops on what goes to the victim. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.operations.signatures import SignatureAsk
from xdpctl.model.event import Attack, Event
from xdpctl.model.incident import RuleRecord
from xdpctl.model.match import text
from xdpctl.model.match.match import ID_MARK, Match, build
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import Action, Automatic, Mode, Spare
from xdpctl.model.signature import Rate

_ICMP = {4: "icmp", 6: "icmpv6"}


@dataclass(frozen=True, slots=True)
class Measure:
    """Of the packets to a victim that match, let pass what is within the rate; none: drop all.

    `parts` are components beside the destination; with `from_port` the event's port is one too.
    """

    parts: Mapping[str, str]
    rate: Rate | None = None
    from_port: bool = False

    def match(self, victim: Prefix, port: int | None) -> Match:
        """The packets to this victim; from source port `port`, if the measure is `from_port`."""
        parts: dict[str, Any] = {"destination": str(victim), **self.parts}
        if parts.get("protocol") == "icmp":
            parts["protocol"] = _ICMP[victim.family]
        if self.from_port and port is not None:
            parts["source_port"] = str(port)
        return build(parts)


MEASURES: Mapping[Attack, tuple[Measure, ...]] = {
    Attack.UDP_FLOOD: (Measure({"protocol": "udp"}, Rate(pps=5_000)),),
    Attack.SYN_FLOOD: (Measure({"protocol": "tcp", "tcp_flags": "syn&!ack"}, Rate(pps=2_000)),),
    Attack.ICMP_FLOOD: (Measure({"protocol": "icmp"}, Rate(pps=500)),),
    Attack.AMPLIFICATION: (Measure({"protocol": "udp"}, Rate(pps=1_000), from_port=True),),
    Attack.IP_FRAGMENTATION: (Measure({"fragment": "later"}, Rate(pps=500)),),
    Attack.UNKNOWN: (Measure({}, Rate(pps=1_000, per_ipv4=32, per_ipv6=64)),),
}


def asks(
    event: Event, measures: Mapping[Attack, tuple[Measure, ...]], **common: Any
) -> Iterator[RuleRequest | SignatureAsk]:
    """The rules for an event that is on. `common`: mode, ttl, reason and tags of all of them.

    Sources are dropped. Else the event's own match is, or is limited as it says; else what the
    attack is known for. All of it spares established connections, but for limits for each source.
    """
    if event.sources:
        for source in event.sources:
            yield RuleRequest(source, spare=Spare.ESTABLISHED, **common)
    elif event.match is not None:
        yield _signature(event.match, event.limit, common)
    elif event.victim is not None:
        for measure in measures[event.attack]:
            yield _signature(measure.match(event.victim, event.port), measure.rate, common)


def _signature(match: Match, rate: Rate | None, common: dict[str, Any]) -> SignatureAsk:
    action = Action.LIMIT if rate else Action.DROP
    return SignatureAsk(match=match, action=action, limit=rate, **common)


def remembered(done: Iterable[RuleRecord], common: dict[str, Any]) -> Iterator[SignatureAsk]:
    """What was done before, asked for again."""
    for one in done:
        if one.id.startswith(ID_MARK):
            yield _signature(text.parse(one.what), one.limit, common)


def mode_of(automatic: Automatic) -> Mode:
    """That of the rules."""
    return Mode.ENFORCE if automatic is Automatic.ON else Mode.MONITOR
