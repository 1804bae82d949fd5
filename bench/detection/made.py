# SPDX-License-Identifier: GPL-2.0-or-later
"""Synthetic packets: the traffic of a school's public address, and attacks on it.

The figures of the mix are a model: shares, lengths and TTLs as a school's uplink has them.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.constants import FlowState, Reason
from xdpctl.base.net.packet_fields import DONT, FIRST, LAST, LATER
from xdpctl.traffic.classify import classified
from xdpctl.traffic.packets import NONE, NUMBERS, PACKET, PacketArray

VICTIM = bytes((192, 0, 2, 1))
Random = np.random.Generator
_TCP, _UDP, _ICMP, _GRE = 6, 17, 1, 47
_SYN, _RST, _PSH, _ACK = 2, 4, 8, 16


def packets(count: int, sources: NDArray[np.uint32], **columns: Any) -> PacketArray:
    """`count` packets to the victim; columns that are not given have the value for "none"."""
    rows = np.zeros(count, PACKET)
    for name in NUMBERS:
        rows[name] = NONE
    rows["weight"], rows["family"], rows["reason"] = 1, 4, Reason.NO_RULE
    rows["flow"], rows["dscp"], rows["fragment"] = FlowState.UNKNOWN, 0, 0
    rows["destination"] = VICTIM
    raw = np.zeros((count, 16), np.uint8)
    raw[:, :4] = sources.astype(">u4").view(np.uint8).reshape(-1, 4)
    rows["source"] = raw.reshape(-1).view("S16")
    for name, values in columns.items():
        rows[name] = values
    rows["length"] = np.maximum(rows["packet_length"], 20) + 14
    return classified(rows)


def as_six(packets: PacketArray, victim: bytes) -> PacketArray:
    """The same packets over IPv6, to a victim; each source has a /64 of its own."""
    ipv6 = packets.copy()
    raw = np.zeros((len(ipv6), 16), np.uint8)
    raw[:, 0], raw[:, 1], raw[:, 15] = 0x24, 0x0A, 1
    raw[:, 2:6] = np.ascontiguousarray(ipv6["source"]).view(np.uint8).reshape(-1, 16)[:, :4]
    ipv6["source"] = raw.reshape(-1).view("S16")
    ipv6["destination"], ipv6["family"] = victim, 6
    ipv6["packet_length"] += 20
    return ipv6


def spoofed(random: Random, count: int) -> NDArray[np.uint32]:
    """Random source addresses, including unused ones."""
    return random.integers(1 << 24, 0xE0000000, count, dtype=np.uint32)


def people(random: Random, count: int, pool: int = 3_000) -> NDArray[np.uint32]:
    """Sources like visitors: in networks of a few providers, some of them frequent."""
    hosts, often = _people(pool)
    addresses: NDArray[np.uint32] = hosts[often.searchsorted(random.random(count), side="right")]
    return addresses


@cache
def _people(pool: int) -> tuple[NDArray[np.uint32], NDArray[np.float64]]:
    """The sources, and their cumulative shares of the packets."""
    seed = np.random.default_rng(5)
    large = np.setdiff1d(seed.integers(1, 223, 34), (10, 127))[:30]
    networks = (large[seed.integers(0, 30, 400)] << 8 | seed.integers(0, 256, 400)).astype("u4")
    hosts = networks[seed.integers(0, 400, pool)] << 16 | seed.integers(0, 1 << 16, pool).astype(
        "u4"
    )
    share = np.cumsum(1 / np.arange(1, pool + 1) ** 0.8)
    return hosts, share / share[-1]


def bots(random: Random, count: int, pool: int = 3_000) -> NDArray[np.uint32]:
    """Sources like bots: real hosts all over the world."""
    hosts = np.random.default_rng(9).integers(1 << 24, 0xDF000000, pool, dtype=np.uint32)
    addresses: NDArray[np.uint32] = hosts[random.integers(0, pool, count)]
    return addresses


def _hops(random: Random, count: int, begins: tuple[int, ...], share: Any = None) -> Any:
    return random.choice(begins, count, p=share) - random.integers(6, 22, count)


def _high(random: Random, count: int) -> Any:
    return random.integers(1024, 65536, count)


# traffic that is no attack


def _tcp_data(random: Random, count: int) -> PacketArray:
    kind = random.choice(3, count, p=(0.42, 0.48, 0.10))  # ACK, data, FIN
    stamps = np.where(random.random(count) < 0.6, 52, 40)
    data = np.where(random.random(count) < 0.4, 1448, random.integers(20, 1400, count))
    return packets(
        count,
        people(random, count),
        protocol=_TCP,
        source_port=_high(random, count),
        destination_port=random.choice((443, 80, 993, 22), count, p=(0.88, 0.08, 0.03, 0.01)),
        tcp_flags=np.choose(kind, (_ACK, _ACK | _PSH, _ACK | 1)),
        packet_length=np.minimum(stamps + np.where(kind == 1, data, 0), 1500),
        ttl=_hops(random, count, (64, 128), (0.55, 0.45)),
        fragment=DONT,
    )


def syns(random: Random, count: int) -> PacketArray:
    """SYNs of phones, Chromebooks and Windows machines."""
    kind = random.choice(3, count, p=(0.5, 0.35, 0.15))
    return packets(
        count,
        people(random, count),
        protocol=_TCP,
        source_port=_high(random, count),
        destination_port=random.choice((443, 80, 993), count, p=(0.9, 0.08, 0.02)),
        tcp_flags=np.where(random.random(count) < 0.1, _SYN | 0xC0, _SYN),
        packet_length=np.choose(kind, (60, 52, 64)),
        ttl=np.choose(kind, (*(_hops(random, count, (b,)) for b in (64, 128, 64)),)),
        fragment=DONT,
    )


def _answers(random: Random, count: int) -> PacketArray:
    """SYN-ACKs and RSTs to the pupils behind the address."""
    opening = random.random(count) < 0.8
    answers = _tcp_data(random, count)
    answers["destination_port"], answers["source_port"] = answers["source_port"], 443
    answers["tcp_flags"] = np.where(opening, _SYN | _ACK, random.choice((_RST, _RST | _ACK), count))
    answers["packet_length"] = np.where(opening, 60, 40)
    return classified(answers)


def _service(random: Random, count: int) -> PacketArray:
    port = random.choice((443, 53, 123, 3478), count, p=(0.6, 0.25, 0.05, 0.1))
    length = np.where(
        port == 443,
        random.choice((1278, 1250, 60, 80, 700), count),
        np.where(port == 123, 76, random.integers(80, 520, count)),
    )
    return packets(
        count,
        people(random, count),
        protocol=_UDP,
        source_port=port,
        destination_port=_high(random, count),
        packet_length=length,
        ttl=_hops(random, count, (64, 128)),
        fragment=np.where(random.random(count) < 0.7, DONT, 0),
    )


def _video(random: Random, count: int) -> PacketArray:
    return packets(
        count,
        people(random, count),
        protocol=_UDP,
        source_port=random.choice((8801, 19305, 50000), count),
        destination_port=_high(random, count),
        packet_length=random.integers(90, 1240, count),
        ttl=_hops(random, count, (64, 128)),
        fragment=DONT,
    )


def _quic(random: Random, count: int) -> PacketArray:
    first = random.random(count) < 0.4
    return packets(
        count,
        people(random, count),
        protocol=_UDP,
        source_port=_high(random, count),
        destination_port=443,
        packet_length=np.where(
            first, random.choice((1228, 1278, 1280), count), random.integers(50, 1200, count)
        ),
        ttl=_hops(random, count, (64, 128), (0.7, 0.3)),
        fragment=DONT,
    )


def _pings(random: Random, count: int) -> PacketArray:
    return packets(
        count,
        people(random, count, 400),
        protocol=_ICMP,
        icmp_type=random.choice((8, 0, 3, 11), count, p=(0.5, 0.25, 0.15, 0.1)),
        icmp_code=random.choice((0, 1, 3), count, p=(0.8, 0.1, 0.1)),
        packet_length=random.choice((84, 60, 56, 1500), count, p=(0.5, 0.3, 0.15, 0.05)),
        ttl=_hops(random, count, (64, 128, 255)),
        fragment=random.choice((0, DONT), count),
    )


def _queries(random: Random, count: int) -> PacketArray:
    return packets(
        count,
        people(random, count, 500),
        protocol=_UDP,
        source_port=_high(random, count),
        destination_port=53,
        packet_length=random.integers(56, 90, count),
        ttl=_hops(random, count, (64, 255)),
        fragment=random.choice((0, DONT), count),
    )


MIX: dict[str, tuple[float, Callable[[Random, int], PacketArray]]] = {
    "tcp": (0.50, _tcp_data),
    "syn": (0.03, syns),
    "answers": (0.03, _answers),
    "service": (0.12, _service),
    "video": (0.12, _video),
    "quic": (0.14, _quic),
    "pings": (0.03, _pings),
    "queries": (0.03, _queries),
}


def legitimate(random: Random, count: int) -> PacketArray:
    """`count` packets of the normal mix, in random order."""
    parts = [make(random, max(int(share * count), 1)) for share, make in MIX.values()]
    packets_in_order: PacketArray = np.concatenate(parts)
    random.shuffle(packets_in_order)
    return packets_in_order


def balanced(random: Random, count: int) -> PacketArray:
    """`count` packets of each part of the mix, as the detector keeps them by kind."""
    return np.concatenate([make(random, count) for _, make in MIX.values()])


# attacks


def _reflected(port: int, length: Callable[[Random, int], Any], **more: Any) -> Any:
    def make(random: Random, count: int) -> PacketArray:
        columns = {name: draw(random, count) for name, draw in more.items()}
        return packets(
            count,
            bots(random, count, 2_000),
            protocol=_UDP,
            source_port=port,
            destination_port=_high(random, count),
            packet_length=length(random, count),
            ttl=_hops(random, count, (64, 128, 255), (0.6, 0.1, 0.3)),
            **columns,
        )

    return make


def _fragmented(port: int, share: float) -> Any:
    def make(random: Random, count: int) -> PacketArray:
        later = random.random(count) < share
        answers = _reflected(port, lambda r, n: np.full(n, 1500))(random, count)
        answers["fragment"] = np.where(later, random.choice((LATER, LATER | LAST), count), FIRST)
        for name in ("source_port", "destination_port"):
            answers[name][later] = NONE
        answers["packet_length"][later] = random.choice((1500, 1280, 700, 1124), int(later.sum()))
        return classified(answers)

    return make


def _flood(protocol: Any, sources: Any = spoofed, **columns: Any) -> Any:
    """An attack whose columns are values, or drawn by a function."""

    def make(random: Random, count: int) -> PacketArray:
        def drawn(value: Any) -> Any:
            return value(random, count) if callable(value) else value

        values = {name: drawn(value) for name, value in columns.items()}
        return packets(count, drawn(sources), protocol=drawn(protocol), **values)

    return make


def _tcp(flags: Any, length: Any, ttl: Any, port: Any = 443, **more: Any) -> Any:
    ports = {"source_port": _high, "destination_port": port, "fragment": 0}
    return _flood(_TCP, tcp_flags=flags, packet_length=length, ttl=ttl, **ports | more)


def _udp(length: Any, ttl: Any, port: Any, **more: Any) -> Any:
    ports = {"source_port": _high, "destination_port": port, "fragment": 0}
    return _flood(_UDP, packet_length=length, ttl=ttl, **ports | more)


def _other(protocol: Any, length: Any, ttl: Any, **more: Any) -> Any:
    return _flood(protocol, packet_length=length, ttl=ttl, **more)


def _between(low: int, high: int) -> Callable[[Random, int], Any]:
    return lambda random, count: random.integers(low, high, count)


def _one_of(*values: int) -> Callable[[Random, int], Any]:
    return lambda random, count: random.choice(values, count)


def _like_linux(random: Random, count: int) -> Any:
    return _hops(random, count, (64,))


def _like_all(random: Random, count: int) -> Any:
    return _hops(random, count, (64, 128), (0.55, 0.45))


def _about(mean: int, width: int, low: int, high: int) -> Callable[[Random, int], Any]:
    def make(random: Random, count: int) -> Any:
        return np.clip(random.normal(mean, width, count), low, high).astype(int)

    return make


ATTACKS: dict[str, Callable[[Random, int], PacketArray]] = {
    "NTP monlist": _reflected(123, lambda r, n: np.full(n, 468)),
    "memcached": _reflected(11211, _one_of(1428, 1500)),
    "CLDAP with fragments": _fragmented(389, 0.5),
    "SSDP": _reflected(1900, _about(330, 40, 220, 500)),
    "DNS ANY with fragments": _fragmented(53, 0.6),
    "DNS, not fragmented": _reflected(53, _between(1100, 1473)),
    "chargen": _reflected(19, _about(1000, 300, 100, 1500)),
    "SNMP": _reflected(161, _between(600, 1400)),
    "IKE": _reflected(500, _one_of(120, 132, 156)),
    "STUN": _reflected(3478, _one_of(96, 128)),
    "CoAP": _reflected(5683, _between(400, 1300)),
    "Source games": _reflected(27015, _between(200, 1300)),
    "UDP, all at random": _udp(_between(28, 1501), _between(30, 255), _between(1, 65536)),
    "UDP to the port of QUIC": _udp(_between(60, 1400), _like_linux, 443),
    "UDP of one length by bots": _udp(540, _like_linux, 443, sources=bots),
    "QUIC Initials": _udp(1278, _like_all, 443, fragment=DONT),
    "DNS water torture": _udp(_between(58, 90), _like_linux, 53, sources=bots),
    "SYN, plain": _tcp(_SYN, 40, _between(40, 250)),
    "SYN by bots": _tcp(_SYN, 60, _like_linux, sources=bots),
    "SYN as Linux sends it": _tcp(_SYN, 60, _like_linux, fragment=DONT),
    "SYN as all send it": lambda r, n: _respoofed(r, syns(r, n)),
    "SYN to all ports": _tcp(_SYN, 44, _between(40, 250), _between(1, 65536)),
    "SYN-ACK, reflected": _tcp(
        _SYN | _ACK, _one_of(44, 60), _like_all, _high, sources=bots, source_port=443
    ),
    "ACK, plain": _tcp(_ACK, 40, _between(40, 250)),
    "ACK as real ones": _tcp(_ACK, 52, _like_all, fragment=DONT),
    "PSH and ACK with data": _tcp(_ACK | _PSH, _between(600, 1400), _like_linux),
    "RST": _tcp(_RST, 40, _like_linux, _between(1, 65536)),
    "TCP with all flags": _tcp(_between(0, 64), 40, _between(30, 255), _between(1, 65536)),
    "ICMP echo": _other(_ICMP, 84, _like_linux, icmp_type=8, icmp_code=0),
    "ICMP echo, large": _other(_ICMP, 1428, _like_linux, icmp_type=8, icmp_code=0),
    "GRE by bots": _other(_GRE, 540, _like_linux, sources=bots),
    "ESP": _other(50, _between(100, 1400), _like_all),
    "fragments": _other(_UDP, _between(600, 1500), _between(40, 250), fragment=LATER),
    "all at random": _other(_between(0, 256), _between(28, 1500), _between(1, 255)),
    "HTTP by real bots": lambda r, n: _respoofed(r, _tcp_data(r, n), bots),
}


def _respoofed(random: Random, attack: PacketArray, sources: Any = spoofed) -> PacketArray:
    raw = np.zeros((len(attack), 16), np.uint8)
    raw[:, :4] = sources(random, len(attack)).astype(">u4").view(np.uint8).reshape(-1, 4)
    attack["source"] = raw.reshape(-1).view("S16")
    return attack
