# SPDX-License-Identifier: GPL-2.0-or-later
"""Our own format, for detectors whose output can be configured: one event, or a list of them.

{"phase": "began", "id": "42", "victim": "198.51.100.7", "attack": "udp_flood"}
{"phase": "began", "id": "43", "sources": ["203.0.113.7"], "ttl": 600}
{"phase": "began", "id": "44", "match": "udp src-port 53 dst 198.51.100.7", "pps": 5000}
{"phase": "ended", "id": "42"}
"""

from typing import Any

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.detectors import checked
from xdpctl.errors import RuleError
from xdpctl.model.event import Attack, Event, Phase, plain
from xdpctl.model.match import text
from xdpctl.model.match.match import Match, build
from xdpctl.model.rate import Rate

KNOWN = frozenset(
    ("phase", "id", "victim", "sources", "match", "attack", "port", "ttl", "pps", "bps", "note")
)


def read(body: bytes) -> list[Event]:
    """An event for each item; RuleError if one of them cannot be read."""
    data = checked.document(body)
    return events(data if isinstance(data, list) else [data])


def events(items: list[Any]) -> list[Event]:
    """The events of objects in our format; RuleError if one of them is not valid."""
    return [_event(checked.table(item, f"[{n}]")) for n, item in enumerate(items)]


def _event(data: dict[str, Any]) -> Event:
    unknown = sorted(data.keys() - KNOWN)
    if unknown:
        fix = f"use {', '.join(sorted(KNOWN))}"
        raise RuleError(f"unknown field {plain(unknown[0])[:40]!r}", unknown[0][:40], fix)
    phase, attack = _member(Phase, data, "phase"), Attack.UNKNOWN
    if "attack" in data:
        attack = _member(Attack, data, "attack")
    match = _match(data["match"]) if "match" in data else None
    pps, bps = checked.number(data, "pps"), checked.number(data, "bps")
    port = data.get("port")
    if port is not None and (not isinstance(port, int) or not 0 <= port <= 65535):
        raise RuleError(f"port is {plain(port)[:40]!r}", "port", "send 0 to 65535")
    if (port is None) == (attack is Attack.AMPLIFICATION):
        fix = "give a port for an amplification, and for no other attack"
        raise RuleError("attack and port do not go together", "port", fix)
    sources = checked.listed(data.get("sources"), "sources")
    return Event(
        phase=phase,
        id=checked.text(data, "id"),
        victim=_victim(checked.text(data, "victim", ""), match),
        sources=tuple(parse_prefix(str(source), "sources") for source in sources),
        match=match,
        limit=Rate(pps=pps, bps=bps) if match and (pps or bps) else None,
        attack=attack,
        port=port,
        ttl=checked.number(data, "ttl") or None,
        pps=pps,
        bps=bps,
        note=plain(data.get("note", "")),
    )


def _victim(address: str, match: Match | None) -> Prefix | None:
    if address:
        return parse_prefix(address, "victim")
    named: Prefix | None = match.get("destination") if match else None
    return named


def _member(kind: Any, data: dict[str, Any], name: str) -> Any:
    value = checked.text(data, name)
    if value not in list(kind):
        fix = f"send one of {', '.join(kind)}"
        raise RuleError(f"{name} is {plain(value)[:40]!r}", name, fix)
    return kind(value)


def _match(value: Any) -> Match:
    if isinstance(value, str):
        return text.parse(value)
    return build(checked.table(value, "match"))
