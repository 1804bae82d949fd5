# SPDX-License-Identifier: GPL-2.0-or-later
"""Suricata's EVE, a JSON object a line. Alerts alone, and of these what asks for something.

A rule may say it in its metadata: `mitigation xdp_block_src` or `xdp_block_dst` (which protects the
destination). One that says nothing protects its destination if its class is a denial of service,
and else does nothing: a packet's source is easily forged.
"""

from typing import Any

from xdpctl.detectors import parsing
from xdpctl.model.event import Attack, Event, Phase, plain

_BLOCK, _PROTECT = "xdp_block_src", ("xdp_block_dst", "xdp_protect_dst")
_DENIALS = ("attempted denial of service", "detection of a denial of service attack")


def read(body: bytes) -> list[Event]:
    """Of every line that is an alert."""
    return parsing.each(parsing.lines(body), _line)


def _line(line: bytes) -> Event | None:
    held = parsing.table(parsing.document(line), "the line")
    return _event(held) if held.get("event_type") == "alert" else None


def _event(held: dict[str, Any]) -> Event:
    alert = parsing.table(held.get("alert", {}), "alert")
    source, target = (parsing.text(held, name) for name in ("src_ip", "dest_ip"))
    signature = f"{alert.get('gid', 1)}:{alert.get('signature_id', 0)}"
    metadata = parsing.table(alert.get("metadata") or {}, "alert.metadata")
    hints = {str(one) for one in parsing.listed(metadata.get("mitigation"), "mitigation")}
    note = plain(alert.get("signature", ""))
    if _BLOCK in hints:
        sources = (parsing.address(source, "src_ip"),)
        return Event(phase=Phase.BEGAN, id=f"{signature} {source}", sources=sources, note=note)
    denial = str(alert.get("category", "")).lower() in _DENIALS
    if hints.isdisjoint(_PROTECT) and not denial:
        why = "its rule asks for nothing: metadata mitigation xdp_block_src or xdp_block_dst"
        return Event(phase=Phase.BEGAN, id=f"{signature} {target}", note=note, ignored=why)
    attack, port = _attack(held, note)
    return Event(
        phase=Phase.BEGAN,
        id=f"{signature} {target}",
        victim=parsing.address(target, "dest_ip"),
        attack=attack,
        port=port,
        note=note,
    )


def _attack(held: dict[str, Any], note: str) -> tuple[Attack, int | None]:
    protocol, port = str(held.get("proto", "")).lower(), held.get("src_port")
    if protocol == "udp" and isinstance(port, int) and port in parsing.AMPLIFIERS:
        return Attack.AMPLIFICATION, port
    named = parsing.attack_named(note)
    if named is Attack.AMPLIFICATION:
        return Attack.UDP_FLOOD, None
    if named is Attack.UNKNOWN:
        return parsing.attack_named({"tcp": "syn"}.get(protocol, protocol)), None
    return named, None
