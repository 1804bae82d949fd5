# SPDX-License-Identifier: GPL-2.0-or-later
"""sFlow-RT's events, from /events/json or ddos-protect. Their ends are not reported."""

import re
from typing import Any

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.detectors import checked
from xdpctl.errors import RuleError
from xdpctl.model.event import Attack, Event, Phase, plain


def read(body: bytes) -> list[Event]:
    """An event for each item, the oldest first; RuleError if one is not valid."""
    data = checked.document(body)
    events = checked.listed(data if isinstance(data, list) else [data], "the body")
    return [_event(checked.table(item, f"[{n}]")) for n, item in enumerate(reversed(events))]


def _event(data: dict[str, Any]) -> Event:
    named, key = checked.text(data, "thresholdID"), checked.text(data, "flowKey")
    target, *rest = key.split(",")
    try:
        victim = parse_prefix(target, "flowKey")
    except RuleError:
        why = f"flowKey {plain(key)[:60]!r} does not begin with an address"
        return Event(phase=Phase.BEGAN, id=f"{named} {plain(key)}", ignored=why)
    attack = checked.attack_named(named)
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
