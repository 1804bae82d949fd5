# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures against an attack: limits and drops of packets to the victim. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from xdpctl.base.net.prefix import Prefix
from xdpctl.model.effect import CHALLENGES, Action, Automatic, Mode, Spare
from xdpctl.model.event import Attack, Event
from xdpctl.model.incident import RuleRecord
from xdpctl.model.match import text
from xdpctl.model.match.match import Match, build, key_named
from xdpctl.model.rate import Rate
from xdpctl.model.requests import RuleRequest

# Priority behind drops: a dropped packet must not use up a limit, or be challenged.
_AFTER_DROPS = 10
_ICMP = {4: "icmp", 6: "icmpv6"}


@dataclass(frozen=True, slots=True)
class Measure:
    """Limits the matching packets to a victim to `rate`; without a rate, `action` applies.

    `parts` are the components of the match besides the destination. With `from_port`, the port of
    the event is the source port of the match.
    """

    parts: Mapping[str, str]
    rate: Rate | None = None
    from_port: bool = False
    action: Action = Action.DROP

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
    Attack.QUIC_FLOOD: (
        Measure(
            {"protocol": "udp", "destination_port": "443", "packet_length": ">=1228"},
            Rate(pps=1_000),
        ),
    ),
    Attack.DNS_QUERY_FLOOD: (
        Measure({"protocol": "udp", "destination_port": "53"}, Rate(pps=1_000)),
    ),
    Attack.SYN_ACK_FLOOD: (Measure({"protocol": "tcp", "tcp_flags": "syn+ack"}, Rate(pps=500)),),
    Attack.RST_FLOOD: (Measure({"protocol": "tcp", "tcp_flags": "rst"}, Rate(pps=500)),),
    Attack.TCP_FLOOD: (Measure({"protocol": "tcp", "tcp_flags": "!syn&!rst"}, Rate(pps=5_000)),),
    Attack.SYN_FLOOD: (
        Measure({"protocol": "tcp", "tcp_flags": "syn&!ack"}, action=Action.CHALLENGE),
    ),
    Attack.ICMP_FLOOD: (Measure({"protocol": "icmp"}, Rate(pps=500)),),
    Attack.AMPLIFICATION: (Measure({"protocol": "udp"}, Rate(pps=1_000), from_port=True),),
    Attack.IP_FRAGMENTATION: (Measure({"fragment": "later"}, Rate(pps=500)),),
    Attack.UNKNOWN: (Measure({}, Rate(pps=5_000, to_ipv4=32, to_ipv6=128)),),
}


def asks(
    event: Event, measures: Mapping[Attack, tuple[Measure, ...]], **common: Any
) -> Iterator[RuleRequest]:
    """The rules for an event. `common` has the mode, ttl, reason and tags of all of them.

    If the event names sources, they are dropped. Otherwise its match is dropped or limited; without
    a match, the measures for its attack apply. All rules spare known flows, unless the event is
    about known flows.
    """
    if event.sources:
        for source in event.sources:
            yield RuleRequest(Match(source), spare=Spare.KNOWN, **common)
    elif event.match is not None:
        spare = Spare.NONE if event.known else Spare.KNOWN
        request = _request(event.match, event.limit, common, event.action, spare)
        precise = event.finding is not None and request.action is not Action.DROP
        yield replace(request, priority=_AFTER_DROPS) if precise else request
    elif event.victim is not None:
        for measure in measures[event.attack]:
            match = measure.match(event.victim, event.port)
            yield _request(match, measure.rate, common, measure.action)


def _request(
    match: Match,
    rate: Rate | None,
    common: dict[str, Any],
    action: Action = Action.DROP,
    spare: Spare = Spare.KNOWN,
) -> RuleRequest:
    action = Action.LIMIT if rate else action
    if action in CHALLENGES:
        spare = Spare.NONE  # a SYN belongs to no flow
    return RuleRequest(match=match, action=action, limit=rate, spare=spare, **common)


def remembered(records: Iterable[RuleRecord], common: dict[str, Any]) -> Iterator[RuleRequest]:
    """Requests for rules of earlier incidents: those on matches, with the same action and limit."""
    for rule in records:
        if rule.limit or isinstance(key_named(rule.id), str):
            yield _request(text.parse(rule.what), rule.limit, common, Action(rule.action))


def mode_of(automatic: Automatic) -> Mode:
    """The mode of rules under a mode of automatic mitigation."""
    return Mode.ENFORCE if automatic is Automatic.ON else Mode.MONITOR
