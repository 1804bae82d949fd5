# SPDX-License-Identifier: GPL-2.0-or-later
"""sFlow-RT's events, as /events/json answers and its ddos-protect names them. They never end."""

import re
from typing import Any

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.detectors import parsing
from xdpctl.errors import RuleError
from xdpctl.model.event import Attack, Event, Phase, plain


def read(body: bytes) -> list[Event]:
    """An event for each item, the oldest first; RuleError if one cannot be read."""
    held = parsing.document(body)
    events = parsing.listed(held if isinstance(held, list) else [held], "the body")
    return [_event(parsing.table(one, f"[{n}]")) for n, one in enumerate(reversed(events))]


def _event(held: dict[str, Any]) -> Event:
    named, key = parsing.text(held, "thresholdID"), parsing.text(held, "flowKey")
    target, *rest = key.split(",")
    try:
        victim = parse_prefix(target, "flowKey")
    except RuleError:
        why = f"flowKey {plain(key)[:60]!r} does not begin with an address"
        return Event(phase=Phase.BEGAN, id=f"{named} {plain(key)}", ignored=why)
    attack = parsing.attack_named(named)
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
