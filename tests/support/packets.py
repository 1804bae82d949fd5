# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames that tests build: well-formed, unusual, and malformed ones."""

import random
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from typing import NamedTuple

MAC = bytes.fromhex("020000000002") + bytes.fromhex("020000000001")
_SPOKEN = (53, 179, 853, 3784, 4784)  # ports of DNS, BGP and BFD
EXTENSIONS = (0, 43, 44, 51, 60, 135, 139, 140)


def address(text: str) -> bytes:
    return ip_address(text).packed


def ethernet(kind: int, payload: bytes, vlans: tuple[int, ...] = ()) -> bytes:
    """A frame with the given tag protocol ids in front of `kind`."""
    kinds = (*vlans, kind)
    tags = b"".join(struct.pack(">HH", 7, after) for after in kinds[1:])
    return MAC + struct.pack(">H", kinds[0]) + tags + payload


def session(kind: int, payload: bytes, *, short: bool = False, number: int = 7) -> bytes:
    """What a session of PPPoE carries (RFC 2516); `short`: with a protocol of one byte."""
    protocol = {0x0800: 0x0021, 0x86DD: 0x0057}.get(kind, kind).to_bytes(2)
    carried = (protocol[1:] if short else protocol) + payload
    return struct.pack(">BBHH", 0x11, 0, number, len(carried)) + carried


def udp(source: int = 40000, destination: int = 53, payload: bytes = b"x" * 18) -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


def quic(to: bytes, by: bytes, first: int = 0xC0, version: int = 1) -> bytes:
    """A QUIC handshake packet with a destination and a source connection ID (RFC 9000 17.2)."""
    return bytes((first, *version.to_bytes(4, "big"), len(to), *to, len(by), *by)) + bytes(20)


def ipv4(
    source: bytes,
    destination: bytes,
    payload: bytes,
    protocol: int = 17,
    options: bytes = b"",
    fragment: int = 0,
    ttl: int = 64,
) -> bytes:
    words = 5 + len(options) // 4
    total = words * 4 + len(payload)
    head = struct.pack(">BBHHHBBH", 4 << 4 | words, 0, total, 1, fragment, ttl, protocol, 0)
    return head + source + destination + options + payload


def ipv6(
    source: bytes, destination: bytes, payload: bytes, next_header: int = 17, hop_limit: int = 64
) -> bytes:
    head = struct.pack(">IHBB", 6 << 28, len(payload), next_header, hop_limit)
    return head + source + destination + payload


def extended(
    kinds: tuple[int, ...], last: int, payload: bytes, offset: int = 0, more: bool = False
) -> tuple[int, bytes]:
    """Extension headers in front of `payload`: the first next-header value and the bytes."""
    after = (*kinds[1:], last)
    out = b""
    for kind, following in zip(kinds, after, strict=False):
        if kind == 44:
            out += struct.pack(">BBHI", following, 0, offset << 3 | more, 9)
        elif kind == 51:
            out += struct.pack(">BB", following, 4) + bytes(22)
        else:
            out += struct.pack(">BB", following, 1) + bytes(14)
    return (kinds[0] if kinds else last), out + payload


def to_frame(source: str, destination: str = "198.51.100.7") -> bytes:
    """A minimal UDP frame from `source`."""
    raw = address(source)
    if len(raw) == 4:
        return ethernet(0x0800, ipv4(raw, address(destination), udp()))
    target = address("2001:db8:ffff::7")
    return ethernet(0x86DD, ipv6(raw, target, udp()))


def random_frame(rng: random.Random, sources4: list[bytes], sources6: list[bytes]) -> bytes:
    """Any frame that a link may carry; frames near a limit of the filter are more frequent."""
    vlans = tuple(
        rng.choice((0x8100, 0x88A8, 0x9100)) for _ in range(rng.choice((0,) * 12 + (1, 2, 3, 4, 5)))
    )
    roll = rng.random()
    if roll < 0.06:
        kind = rng.choice((0x0806, 0x88CC, 0x8809, 0x0027, 0x8863, rng.randrange(65536)))
        frame = ethernet(kind, rng.randbytes(46), vlans)
    elif roll < 0.08:
        frame = ethernet(0x8864, session(rng.choice((0xC021, 0x8021, 0x00FD)), bytes(40)), vlans)
    else:
        kind, packet = random_packet(rng, sources4, sources6)
        if rng.random() < 0.08:
            kind, packet = 0x8864, session(kind, packet, short=rng.random() < 0.2)
        frame = ethernet(kind, packet, vlans)
    if rng.random() < 0.08:
        return frame[: rng.randrange(14, len(frame) + 1)]
    return frame


def random_packet(
    rng: random.Random, sources4: list[bytes], sources6: list[bytes]
) -> tuple[int, bytes]:
    """Any IP packet, with the EtherType of its family."""
    if rng.random() < 0.52:
        return 0x0800, _random_ipv4(rng, sources4)
    return 0x86DD, _random_ipv6(rng, sources6)


def _random_payload(rng: random.Random, ports: tuple[int, ...]) -> bytes:
    return udp(
        rng.choice((*ports, 443)),
        rng.choice((*ports, 53)),
        rng.randbytes(rng.randrange(rng.choice((30, 30, 30, 100)))),
    )


def _random_ipv4(rng: random.Random, sources: list[bytes]) -> bytes:
    source = rng.choice((*sources, *sources, bytes(4), rng.randbytes(4)))
    odd = ("224.0.0.5", "224.0.1.5", "255.255.255.255")
    destination = address(rng.choice(("198.51.100.7",) * 6 + odd))
    packet = ipv4(
        source,
        destination,
        _random_payload(rng, (67, 68, *_SPOKEN)),
        rng.choice((17, 17, 6, 6, 1, 2, 47, 50, 89, 112)),
        bytes(4 * rng.choice((0, 0, 0, 1, 10))),
        rng.choice((0, 0, 0, 0, 0x4000, 0x2000, 0x2001, 1, 5)),
        rng.choice((64, 64, 1, 254, 255)),
    )
    if packet[9] == 1:  # ICMP of all kinds
        at = 4 * (packet[0] & 15)
        packet = packet[:at] + bytes((rng.choice((0, 3, 8, 11, 12)), 4)) + packet[at + 2 :]
    if rng.random() < 0.03:
        return bytes((rng.randrange(256),)) + packet[1:]
    return packet


def _random_ipv6(rng: random.Random, sources: list[bytes]) -> bytes:
    local = address("fe80::1")
    source = rng.choice((*sources, *sources, local, rng.randbytes(16)))
    odd = ("ff02::1", "ff05::1", "fe80::2", "ff12::1", "febf::1")
    destination = address(rng.choice(("2001:db8:ffff::7",) * 6 + odd))
    if rng.random() < 0.3:
        kind = rng.choice((1, 2, 4, 128, 130, 132, 133, 135, 137, 138, 143))
        last, payload = 58, bytes((kind,)) + rng.randbytes(11)
    else:
        last = rng.choice((17, 6, 6, 59, 89, 112))
        payload = _random_payload(rng, (546, 547, *_SPOKEN))
    kinds = tuple(rng.choice(EXTENSIONS) for _ in range(rng.choice((0,) * 8 + (1, 1, 2, 3, 8, 9))))
    first, body = extended(kinds, last, payload, rng.choice((0, 0, 0, 1, 3)), rng.random() < 0.5)
    packet = ipv6(source, destination, body, first, rng.choice((255, 255, 64, 1)))
    if rng.random() < 0.03:
        return bytes((rng.randrange(256),)) + packet[1:]
    return packet


SOURCE, OTHER, SERVER = "192.0.2.7", "192.0.2.8", "198.51.100.7"
SOURCE6, OTHER6, SERVER6, LOCAL6 = "2001:db8::7", "2001:db8::8", "2001:db8:ffff::7", "fe80::7"
IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
TAGS = (0x8100, 0x88A8, 0x9100)


class Odd(NamedTuple):
    """A frame, and its reason in a filter that drops SOURCE, SOURCE6 and LOCAL6."""

    description: str
    frame: bytes
    reason: str = "DROPPED"


def four(
    payload: bytes = udp(), source: str = SOURCE, options: int = 0, fragment: int = 0
) -> bytes:
    """A whole IPv4 frame to SERVER."""
    packet = ipv4(address(source), address(SERVER), payload, 17, bytes(options), fragment)
    return ethernet(IPV4, packet)


def six(
    payload: bytes = udp(), next_header: int = 17, source: str = SOURCE6, hop_limit: int = 64
) -> bytes:
    """A whole IPv6 frame to SERVER6."""
    addresses = address(source), address(SERVER6)
    return ethernet(IPV6, ipv6(*addresses, payload, next_header, hop_limit))


def chain(kinds: tuple[int, ...], last: int = 17, offset: int = 0, source: str = SOURCE6) -> bytes:
    """A whole IPv6 frame with these extension headers."""
    first, body = extended(kinds, last, udp(), offset)
    return six(body, first, source)


def tagged(frame: bytes, vlans: tuple[int, ...]) -> bytes:
    """The same frame with tags."""
    return ethernet(int.from_bytes(frame[12:14], "big"), frame[14:], vlans)


def tag_stacks() -> Iterator[Odd]:
    """Frames with zero to five tags of each kind, and with mixed tags."""
    mixed = [(0x88A8, 0x8100), (0x9100, 0x8100), TAGS, (*TAGS, *TAGS)]
    frames = [
        ("IPv4", four(), "DROPPED"),
        ("IPv6", six(), "DROPPED"),
        ("another IPv4", four(source=OTHER), "NO_RULE"),
        ("another IPv6", six(source=OTHER6), "NO_RULE"),
        ("ARP", ethernet(ARP, bytes(46)), "LINK"),
    ]
    for stack in mixed + [(tag,) * count for tag in TAGS for count in range(6)]:
        names = " ".join(f"{tag:04x}" for tag in stack) or "no tag"
        for what, frame, reason in frames:
            expected = reason if len(stack) <= 4 else "VLAN_DEPTH"
            yield Odd(f"{names} before {what}", tagged(frame, stack), expected)


def cut_frames() -> Iterator[Odd]:
    """Frames cut after each of their bytes, before and after the end of the headers."""
    whole = [
        ("IPv4", four(), 34),
        ("IPv4 with 40 bytes of options", four(options=40), 74),
        ("IPv4 behind four tags", tagged(four(), (0x8100,) * 4), 50),
        ("IPv6", six(), 54),
        ("IPv6 behind two tags", tagged(six(), (0x88A8, 0x8100)), 62),
        ("IPv6, extensions 0 43 60 44 51", chain((0, 43, 60, 44, 51)), 114),
        ("IPv6, later fragment", chain((44,), offset=9), 58),
    ]
    for name, frame, enough in whole:
        for end in range(14, len(frame) + 1):
            reason = "TRUNCATED" if end < enough else "DROPPED"
            yield Odd(f"{name}, cut after {end}", frame[:end], reason)
    for end in range(14, 23):
        arp = tagged(ethernet(ARP, bytes(46)), (0x88A8, 0x8100))[:end]
        yield Odd(f"ARP, tagged, cut after {end}", arp, "TRUNCATED" if end < 22 else "LINK")


def malformed_frames() -> Iterator[Odd]:
    """Frames with every IP version and every IPv4 header length."""
    for number in range(16):
        if number != 4:
            frame = ethernet(IPV4, bytes((number << 4 | 5,)) + four()[15:])
            yield Odd(f"IPv4 of version {number}", frame, "MALFORMED")
        if number != 6:
            frame = ethernet(IPV6, bytes((number << 4,)) + six()[15:])
            yield Odd(f"IPv6 of version {number}", frame, "MALFORMED")
        frame = ethernet(IPV4, bytes((4 << 4 | number,)) + four(bytes(60))[15:])
        reason = "MALFORMED" if number < 5 else "DROPPED"
        yield Odd(f"IPv4 header of {number} words", frame, reason)
        if number <= 10:
            yield Odd(f"IPv4 with {number} words of options", four(options=4 * number))


def fragments() -> Iterator[Odd]:
    """Every kind of fragment; a later fragment has only payload, whatever it looks like."""
    kinds = {"whole": 0x4000, "first": 0x2000, "middle": 0x2001, "last": 185, "far": 0x1FFF}
    for name, word in kinds.items():
        yield Odd(f"IPv4 fragment, {name}", four(fragment=word))
        yield Odd(f"other IPv4 fragment, {name}", four(udp(), OTHER, 0, word), "NO_RULE")
    yield Odd("IPv6 atomic fragment", chain((44,)))
    for offset in (1, 0x1FFF):
        yield Odd(f"IPv6 fragment at {offset}", chain((44,), offset=offset))
        yield Odd(f"IPv6 fragment at {offset} of options", chain((44,), 60, offset))
        yield Odd(f"other fragment at {offset}", chain((44,), 60, offset, OTHER6), "NO_RULE")
    yield Odd("a later fragment as the eighth header", chain((60,) * 7 + (44,), 60, 1))


def extension_chains() -> Iterator[Odd]:
    """Extension headers of each kind, up to one too many, and the headers that end a chain."""
    for kind in EXTENSIONS:
        for count in (1, 2, 8):
            yield Odd(f"{count} extension headers {kind}", chain((kind,) * count))
        yield Odd(f"9 extension headers {kind}", chain((kind,) * 9), "EXTENSION_DEPTH")
        yield Odd(f"header {kind} of another source", chain((kind,), source=OTHER6), "NO_RULE")
    yield Odd("eight kinds in a row", chain(EXTENSIONS))
    for last in (50, 59, 6, 47, 58, 253, 255):  # ESP and no-next-header among them
        yield Odd(f"next header {last}", chain((), last))
        yield Odd(f"next header {last} behind eight", chain((60,) * 8, last))
