# SPDX-License-Identifier: GPL-2.0-or-later
"""Suricata's EVE, one JSON object a line. Only alerts are read.

The metadata of a Suricata rule says what to do: `mitigation xdp_block_src` blocks the source, and
`xdp_block_dst` protects the destination. Without it, the destination is protected if the class is a
denial of service. Other alerts are ignored, because a packet's source is easily forged.
"""

from typing import Any

from xdpctl.detectors import checked
from xdpctl.model.event import Attack, Event, Phase, plain
from xdpctl.model.services import AMPLIFIERS

_BLOCK, _PROTECT = "xdp_block_src", ("xdp_block_dst", "xdp_protect_dst")
_DENIALS = ("attempted denial of service", "detection of a denial of service attack")


def read(body: bytes) -> list[Event]:
    """The event of each line that is an alert."""
    return checked.each(checked.lines(body), _line)


def _line(line: bytes) -> Event | None:
    data = checked.table(checked.document(line), "the line")
    return _event(data) if data.get("event_type") == "alert" else None


def _event(data: dict[str, Any]) -> Event:
    alert = checked.table(data.get("alert", {}), "alert")
    source, target = (checked.text(data, name) for name in ("src_ip", "dest_ip"))
    signature = f"{alert.get('gid', 1)}:{alert.get('signature_id', 0)}"
    metadata = checked.table(alert.get("metadata") or {}, "alert.metadata")
    hints = {str(hint) for hint in checked.listed(metadata.get("mitigation"), "mitigation")}
    note = plain(alert.get("signature", ""))
    if _BLOCK in hints:
        sources = (checked.address(source, "src_ip"),)
        return Event(phase=Phase.BEGAN, id=f"{signature} {source}", sources=sources, note=note)
    denial = str(alert.get("category", "")).lower() in _DENIALS
    if hints.isdisjoint(_PROTECT) and not denial:
        why = "the rule's metadata has no mitigation xdp_block_src or xdp_block_dst"
        return Event(phase=Phase.BEGAN, id=f"{signature} {target}", note=note, ignored=why)
    attack, port = _attack(data, note)
    return Event(
        phase=Phase.BEGAN,
        id=f"{signature} {target}",
        victim=checked.address(target, "dest_ip"),
        attack=attack,
        port=port,
        note=note,
    )


def _attack(data: dict[str, Any], note: str) -> tuple[Attack, int | None]:
    protocol, port = str(data.get("proto", "")).lower(), data.get("src_port")
    if protocol == "udp" and isinstance(port, int) and port in AMPLIFIERS:
        return Attack.AMPLIFICATION, port
    named = checked.attack_named(note)
    if named is Attack.AMPLIFICATION:
        return Attack.UDP_FLOOD, None
    if named is Attack.UNKNOWN:
        return checked.attack_named({"tcp": "syn"}.get(protocol, protocol)), None
    return named, None
