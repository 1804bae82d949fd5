# SPDX-License-Identifier: GPL-2.0-or-later
"""A match in words for a sentence: `plain SYN to 198.51.100.7 port 443`."""

from collections.abc import Iterator, Mapping

from xdpctl.base.net.packet_fields import DONT, FIRST, LAST, LATER
from xdpctl.model.match import bits
from xdpctl.model.match.match import Match

_FLAGS = (0x00, 0x01, 0x02, 0x04, 0x10, 0x11, 0x12, 0x14, 0x18, 0x52, 0xC2)  # of usual packets
_KINDS = {  # what a sentence calls those of them that tests let pass
    frozenset((0x00,)): "TCP without flags",
    frozenset((0x02,)): "plain SYN",
    frozenset((0x02, 0xC2)): "plain SYN",
    frozenset((0x12,)): "SYN-ACK",
    frozenset((0x12, 0x52)): "SYN-ACK",
    frozenset((0x10,)): "plain ACK",
    frozenset((0x10, 0x18)): "ACK",
    frozenset((0x04,)): "RST",
    frozenset((0x04, 0x14)): "RST",
    frozenset((0x01, 0x11)): "FIN",
}
_PARTS = (0, DONT, FIRST, LATER, LATER | LAST)  # what a packet can be
_WHICH = {
    frozenset((FIRST,)): "first",
    frozenset((LATER,)): "middle",
    frozenset((LATER | LAST,)): "last",
    frozenset((LATER, LATER | LAST)): "later",
}
_WHOLE = {
    frozenset((0,)): "unfragmented, DF not set",
    frozenset((DONT,)): "unfragmented, DF set",
    frozenset((0, DONT)): "unfragmented",
    frozenset((0, FIRST, LATER, LATER | LAST)): "DF not set",
}
_SHORT = frozenset(("tcp", "udp", "sctp", "icmp", "gre", "esp", "ipip"))  # written in capitals
_PLURAL = "packets"


def in_words(match: Match) -> str:
    """The match in words; what has no usual words stands as in the match's text."""
    texts = match.as_json()
    said = " ".join([_head(match, texts), *_ends(texts), *_rest(texts)])
    return f"{said} ({whole})" if (whole := _WHOLE.get(_parts(match))) else said


def _head(match: Match, texts: Mapping[str, str]) -> str:
    """What kind of packets: protocol, flags or ICMP type, and whether they are fragments."""
    head = "/".join(_protocol(name) for name in texts.get("protocol", "").split(",") if name)
    if flags := match.get("tcp_flags"):
        head = _flags(flags, texts["tcp_flags"])
    for name, label in (("icmp_type", "type"), ("icmp_code", "code")):
        if name in texts:
            head = f"{head or 'ICMP'} {label} {texts[name]}"
    head, parts = head or _PLURAL, _parts(match)
    if which := _WHICH.get(parts):
        return f"{which} fragments" if head == _PLURAL else f"{which} fragments of {head}"
    known = parts in _WHOLE or "fragment" not in texts
    return head if known else f"{head} (fragment {texts['fragment']})"


def _parts(match: Match) -> frozenset[int]:
    """Which of `_PARTS` match."""
    tests = match.get("fragment")
    return frozenset(part for part in _PARTS if tests is None or bits.holds(tests, part))


def _protocol(name: str) -> str:
    if name.isdigit() or "-" in name:
        return f"protocol {name}"
    return name.upper() if name in _SHORT else name


def _flags(flags: bits.Bits, text: str) -> str:
    """The usual kind of TCP packets that exactly these tests let pass; else the tests."""
    passed = frozenset(value for value in _FLAGS if bits.holds(flags, value))
    return _KINDS.get(passed, f"TCP with flags {text}")


def _ends(texts: Mapping[str, str]) -> Iterator[str]:
    """From whom, and to whom."""
    if source := texts.get("source"):
        yield f"from {source}"
    if port := texts.get("source_port"):
        yield f"port {_number(port)}" if source else f"from port {_number(port)}"
    if destination := texts.get("destination"):
        yield f"to {destination}"
    if port := texts.get("destination_port"):
        yield f"port {_number(port)}" if destination else f"to port {_number(port)}"
    if port := texts.get("port"):
        yield f"with port {_number(port)} at either end"


def _rest(texts: Mapping[str, str]) -> Iterator[str]:
    if length := texts.get("packet_length"):
        yield f"of {_number(length)} bytes"
    names = {"ttl": "TTL", "dscp": "DSCP", "flow_label": "flow label", "vlan": "VLAN"}
    more = [f"{label} {_number(texts[name])}" for name, label in names.items() if name in texts]
    if windows := texts.get("payload"):
        more.append(f"payload {windows.replace(' & ', ' and ').replace('!', 'not ')}")
    if name := texts.get("module"):
        more.append(f"what the module {name} drops")
    if more:
        yield f"with {', '.join(more)}"


def _number(text: str) -> str:
    """Ranges in words: `512 or more`, `1 to 5`."""
    return ", ".join(_range(part) for part in text.split(","))


def _range(part: str) -> str:
    if part.startswith(">="):
        return f"{part[2:]} or more"
    low, dash, high = part.partition("-")
    return f"{low} to {high}" if dash and low.isdigit() and high.isdigit() else part
