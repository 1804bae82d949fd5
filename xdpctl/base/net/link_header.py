# SPDX-License-Identifier: GPL-2.0-or-later
"""What an Ethernet frame has in front of its IP header: VLAN tags, the header of a PPPoE session.

Pure. It reads what bpf/frame.h reads, but any number of tags.
"""

from typing import NamedTuple

IPV4, IPV6 = 0x0800, 0x86DD
_TAGS = (0x8100, 0x88A8, 0x9100)
_SESSION, _SESSION_BYTES = 0x8864, 8  # PPPoE (RFC 2516), with the protocol of PPP
_PPP = {0x0021: IPV4, 0x0057: IPV6}
_TAG_NUMBER = 0xFFF


class LinkHeader(NamedTuple):
    """`kind`: the EtherType of what begins at byte `end`. `tag`: the number in the outermost tag.

    `outer`: the EtherType behind that tag.
    """

    kind: int
    end: int
    tag: int | None
    outer: int


def link_header(frame: bytes) -> LinkHeader:
    """The header of a frame; what is cut short is not read."""
    kind, end, tag = _number(frame, 12), 14, None
    outer = kind
    while kind in _TAGS and len(frame) >= end + 4:
        kind = _number(frame, end + 2)
        if tag is None:
            tag, outer = _number(frame, end) & _TAG_NUMBER, kind
        end += 4
    if kind == _SESSION and len(frame) >= end + _SESSION_BYTES:
        # the protocol may be one byte, which is odd (RFC 1661 section 6.5)
        size = 1 if frame[end + 6] & 1 else 2
        protocol = int.from_bytes(frame[end + 6 : end + 6 + size])
        kind, end = _PPP.get(protocol, kind), end + 6 + size
    return LinkHeader(kind, end, tag, outer)


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2])
