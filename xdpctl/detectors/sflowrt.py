"""sFlow-RT's events, as /events/json answers and its ddos-protect names them. They never end."""

import re
from typing import Any

from xdpctl.detectors import reading
from xdpctl.detectors.event import Attack, Event, Phase, plain
from xdpctl.errors import RuleError
from xdpctl.prefix import parse_prefix


def read(body: bytes) -> list[Event]:
    held = reading.document(body)
    events = reading.listed(held if isinstance(held, list) else [held], "the body")
    return [_event(reading.table(one, f"[{n}]")) for n, one in enumerate(reversed(events))]


def _event(held: dict[str, Any]) -> Event:
    named, key = reading.text(held, "thresholdID"), reading.text(held, "flowKey")
    target, *rest = key.split(",")
    try:
        victim = parse_prefix(target, "flowKey")
    except RuleError:
        why = f"flowKey {plain(key)[:60]!r} does not begin with an address"
        return Event(phase=Phase.BEGAN, id=f"{named} {plain(key)}", ignored=why)
    attack = reading.attack_named(named)
    last = rest[-1] if rest else ""
    port = int(last) if re.fullmatch("[0-9]{1,5}", last) and int(last) <= 65535 else None
    if attack is Attack.AMPLIFICATION and port is None:
        attack = Attack.UDP_FLOOD
    return Event(
        phase=Phase.BEGAN,
        id=f"{named} {victim}",
        victim=victim,
        attack=attack,
        port=port if attack is Attack.AMPLIFICATION else None,
        note=plain(named),
    )
