"""Frames the tests make themselves: well-formed, odd, and broken."""

import random
import struct
from ipaddress import ip_address

MAC = bytes.fromhex("020000000002") + bytes.fromhex("020000000001")
EXTENSIONS = (0, 43, 44, 51, 60, 135, 139, 140)


def address(text: str) -> bytes:
    return ip_address(text).packed


def ethernet(kind: int, payload: bytes, vlans: tuple[int, ...] = ()) -> bytes:
    """A frame with the given tag protocol ids in front of `kind`."""
    kinds = (*vlans, kind)
    tags = b"".join(struct.pack(">HH", 7, after) for after in kinds[1:])
    return MAC + struct.pack(">H", kinds[0]) + tags + payload


def udp(source: int = 40000, destination: int = 53, payload: bytes = b"x" * 18) -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


def ipv4(
    source: bytes,
    destination: bytes,
    payload: bytes,
    protocol: int = 17,
    options: bytes = b"",
    fragment: int = 0,
) -> bytes:
    words = 5 + len(options) // 4
    total = words * 4 + len(payload)
    head = struct.pack(">BBHHHBBH", 4 << 4 | words, 0, total, 1, fragment, 64, protocol, 0)
    return head + source + destination + options + payload


def ipv6(
    source: bytes, destination: bytes, payload: bytes, next_header: int = 17, hop_limit: int = 64
) -> bytes:
    head = struct.pack(">IHBB", 6 << 28, len(payload), next_header, hop_limit)
    return head + source + destination + payload


def extended(
    kinds: tuple[int, ...], last: int, payload: bytes, offset: int = 0
) -> tuple[int, bytes]:
    """Extension headers in front of `payload`: the first next-header value and the bytes."""
    after = (*kinds[1:], last)
    out = b""
    for kind, following in zip(kinds, after, strict=False):
        if kind == 44:
            out += struct.pack(">BBHI", following, 0, offset << 3, 9)
        elif kind == 51:
            out += struct.pack(">BB", following, 4) + bytes(22)
        else:
            out += struct.pack(">BB", following, 1) + bytes(14)
    return (kinds[0] if kinds else last), out + payload


def to_frame(source: str, destination: str = "198.51.100.7") -> bytes:
    """The plainest UDP packet from `source`."""
    raw = address(source)
    if len(raw) == 4:
        return ethernet(0x0800, ipv4(raw, address(destination), udp()))
    target = address("2001:db8:ffff::7")
    return ethernet(0x86DD, ipv6(raw, target, udp()))


def random_frame(rng: random.Random, sources4: list[bytes], sources6: list[bytes]) -> bytes:
    """Anything a link may carry, weighted towards what is near a decision."""
    vlans = tuple(
        rng.choice((0x8100, 0x88A8, 0x9100)) for _ in range(rng.choice((0,) * 12 + (1, 2, 3, 4, 5)))
    )
    roll = rng.random()
    if roll < 0.06:
        kind = rng.choice((0x0806, 0x88CC, 0x8809, 0x0027, 0x8864, rng.randrange(65536)))
        frame = ethernet(kind, rng.randbytes(46), vlans)
    elif roll < 0.55:
        frame = ethernet(0x0800, _random_ipv4(rng, sources4), vlans)
    else:
        frame = ethernet(0x86DD, _random_ipv6(rng, sources6), vlans)
    if rng.random() < 0.08:
        return frame[: rng.randrange(14, len(frame) + 1)]
    return frame


def _random_payload(rng: random.Random, ports: tuple[int, ...]) -> bytes:
    return udp(
        rng.choice((*ports, 443)), rng.choice((*ports, 53)), rng.randbytes(rng.randrange(30))
    )


def _random_ipv4(rng: random.Random, sources: list[bytes]) -> bytes:
    source = rng.choice((*sources, *sources, bytes(4), rng.randbytes(4)))
    odd = ("224.0.0.5", "224.0.1.5", "255.255.255.255")
    destination = address(rng.choice(("198.51.100.7",) * 6 + odd))
    packet = ipv4(
        source,
        destination,
        _random_payload(rng, (67, 68)),
        rng.choice((17, 17, 6, 1, 47, 50)),
        bytes(4 * rng.choice((0, 0, 0, 1, 10))),
        rng.choice((0, 0, 0, 0x4000, 0x2000, 0x2001, 5)),
    )
    if rng.random() < 0.03:
        return bytes((rng.randrange(256),)) + packet[1:]
    return packet


def _random_ipv6(rng: random.Random, sources: list[bytes]) -> bytes:
    local = address("fe80::1")
    source = rng.choice((*sources, *sources, local, rng.randbytes(16)))
    odd = ("ff02::1", "ff05::1", "fe80::2", "ff12::1", "febf::1")
    destination = address(rng.choice(("2001:db8:ffff::7",) * 6 + odd))
    if rng.random() < 0.3:
        last, payload = 58, bytes((rng.choice((128, 132, 133, 135, 137, 138)),)) + rng.randbytes(11)
    else:
        last, payload = rng.choice((17, 6, 59)), _random_payload(rng, (546, 547))
    kinds = tuple(rng.choice(EXTENSIONS) for _ in range(rng.choice((0,) * 8 + (1, 1, 2, 3, 8, 9))))
    first, body = extended(kinds, last, payload, rng.choice((0, 0, 3)))
    packet = ipv6(source, destination, body, first, rng.choice((255, 255, 64)))
    if rng.random() < 0.03:
        return bytes((rng.randrange(256),)) + packet[1:]
    return packet
