# SPDX-License-Identifier: GPL-2.0-or-later
"""Small MMDB and libloc databases: valid ones, and ones that contradict themselves."""

import struct

NONE = 0xFFFFFFFF


def text(text: str) -> bytes:
    return bytes([0x40 | len(text)]) + text.encode()


def _uint(number: int, size: int = 4) -> bytes:
    kinds = {2: 0xA0, 4: 0xC0}
    head = bytes([kinds[size] | size]) if size in kinds else bytes([size, 2])  # 8: type 9
    return head + number.to_bytes(size, "big")


def mmdb(records: bytes, version: int = 4, bits: int = 24, epoch: bytes = b"") -> bytes:
    """A tree of one node whose both sides lead to the first record; 96 more nodes for IPv6."""
    count = 1 if version == 4 else 97
    tree = b""
    for node in range(count):
        sides = (node + 1 if node + 1 < count else count + 16, count + 16)
        if bits == 28:
            low = [side & 0xFFFFFF for side in sides]
            tree += low[0].to_bytes(3, "big") + b"\0" + low[1].to_bytes(3, "big")
        else:
            tree += b"".join(side.to_bytes(bits // 8, "big") for side in sides)
    facts = {
        "node_count": _uint(count),
        "record_size": _uint(bits, 2),
        "ip_version": _uint(version, 2),
        "database_type": text("Test"),
        "languages": b"\x01\x04" + text("en"),
        "binary_format_major_version": _uint(2, 2),
        "binary_format_minor_version": _uint(0, 2),
        "build_epoch": epoch or _uint(1_700_000_000, 8),
        "description": b"\xe1" + text("en") + text("Test"),
    }
    told = bytes([0xE0 | len(facts)]) + b"".join(text(k) + v for k, v in facts.items())
    return tree + bytes(16) + records + b"\xab\xcd\xefMaxMind.com" + told


RECORDS = (
    b"\xe2" + text("country") + b"\xe1" + text("iso_code") + text("DE") + text("asn") + _uint(5),
    b"\xe2" + text("country_code") + text("DE") + text("asn") + text("AS64500"),
    b"\xe1" + text("country") + b"\x20\x00",  # points at itself
    b"\xe1" + b"\x20\x00" + text("DE"),
    b"\xe1" + text("asn") + b"\xdf\xff\xff\xff" + b"\xff" * 40,
    b"\xff\xff\xff\xff" * 20,
    b"\x1f\x04\xff\xff\xff" * 20,
    b"\xe1" + text("a") + b"\x08\x04" + b"\x08\x04" * 2000,
    (b"\xe1" + text("a")) * 3000 + text("DE"),
)


def libloc() -> bytes:
    nodes = [[0, 0, NONE]]
    for number, bits in enumerate((f"{0xFFFF:096b}1100000000000000", f"{0x20010DB8:032b}")):
        at = nodes[0]
        for bit in bits:
            if not at[int(bit)]:
                at[int(bit)] = len(nodes)
                nodes.append([0, 0, NONE])
            at = nodes[at[int(bit)]]
        at[2] = number
    pool = b"\0A test\0A licence\0Net\0"
    rows = struct.pack(">2s2xI4x", b"DE", 64500) + struct.pack(">2s2xI4x", b"US", 0)
    sections = (
        struct.pack(">II", 64500, 18),
        rows,
        b"".join(struct.pack(">3I", *n) for n in nodes),
    )
    header, body = struct.pack(">7sBQ3I", b"LOCDBXX", 1, 1_700_000_000, 1, 0, 8), b""
    for section in (*sections, b"", pool):
        header += struct.pack(">II", 68 + len(body), len(section))
        body += section
    return header + body
