# SPDX-License-Identifier: GPL-2.0-or-later
"""Wanguard's response scripts, with the arguments that docs/how-to/detectors.md specifies.

`start|stop ANOMALY_ID ADDRESS incoming|outgoing ANOMALY [PPS]` reports an anomaly, and
`rule-start|rule-stop RULE_ID TYPE VALUE` a filtering rule that Wanguard derived for one.
"""

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.detectors import checked
from xdpctl.errors import RuleError
from xdpctl.model.event import Attack, Event, Phase, plain

_PHASES = {
    "start": Phase.BEGAN,
    "stop": Phase.ENDED,
    "rule-start": Phase.BEGAN,
    "rule-stop": Phase.ENDED,
}
_FIX = "call it as docs/how-to/detectors.md says: start|stop ID ADDRESS DIRECTION ANOMALY [PPS]"
_SOURCE = "source ip"


def read(body: bytes) -> list[Event]:
    """One event; RuleError if the arguments are not those of the response action."""
    argv, _ = checked.command(body)
    phase = _PHASES.get(argv[0])
    rule = argv[0].startswith("rule-")
    if phase is None or len(argv) not in ((4,) if rule else (5, 6)):
        raise RuleError(f"argv is {plain(argv)[:80]}", "argv", _FIX)
    return [_rule(phase, argv) if rule else _anomaly(phase, argv)]


def _anomaly(phase: Phase, argv: list[str]) -> Event:
    _, number, victim, direction, anomaly, *rest = argv
    host = parse_prefix(victim, "argv[2]")
    pps = float(rest[0]) if rest and rest[0].isascii() and rest[0].isdigit() else 0.0
    if direction.lower() != "incoming":
        why = f"it is an outgoing attack of our {host}, and only what comes in is mitigated"
        return Event(phase=phase, id=f"anomaly {number}", pps=pps, ignored=why)
    attack = checked.attack_named(anomaly)
    return Event(
        phase=phase,
        id=f"anomaly {number}",
        victim=host,
        attack=Attack.UDP_FLOOD if attack is Attack.AMPLIFICATION else attack,
        pps=pps,
        note=plain(anomaly),
    )


def _rule(phase: Phase, argv: list[str]) -> Event:
    _, number, kind, value = argv
    if kind.lower() != _SOURCE:
        why = f"a rule on {plain(kind)[:40]!r} names no source; only the anomaly is mitigated"
        return Event(phase=phase, id=f"rule {number}", ignored=why)
    source = parse_prefix(value, "argv[3]")
    return Event(phase=phase, id=f"rule {number}", sources=(source,), note=plain(kind))
