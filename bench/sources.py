"""Addresses and prefixes to list and to send from; the same in every run."""

import random
import struct
from collections.abc import Iterable
from functools import cache
from socket import inet_ntop

from xdpctl.prefix import Prefix

LENGTHS = range(12, 32)
_SHARE = 64  # no length of the mix covers more than one 64th of the address space
# special or private somewhere, or this bench's own: never listed and never sent from
_LEFT_OUT = {10, 100, 127, 169, 172, 192, 198, 203}


def _usable(number: int) -> bool:
    return 1 <= number >> 24 <= 223 and number >> 24 not in _LEFT_OUT


@cache
def exact(count: int) -> list[Prefix]:
    """`count` random IPv4 addresses; the smaller sets are the beginnings of the larger ones."""
    dice, found = random.Random(1), dict[int, None]()
    while len(found) < count:
        number = dice.getrandbits(32)
        if _usable(number):
            found[number] = None
    return [Prefix(struct.pack(">I", number), 32) for number in found]


@cache
def mixed(count: int) -> list[Prefix]:
    """`count` random IPv4 prefixes, evenly over /12 to /31 as far as their shares allow."""
    dice, found = random.Random(2), dict[Prefix, None]()
    left = count
    for done, length in enumerate(LENGTHS):
        wanted = len(found) + min(left // (len(LENGTHS) - done), (1 << length) // _SHARE)
        left -= wanted - len(found)
        while len(found) < wanted:
            number = dice.getrandbits(32) >> (32 - length) << (32 - length)
            if _usable(number):
                found[Prefix(struct.pack(">I", number), length)] = None
    return list(found)


@cache
def exact6(count: int) -> list[Prefix]:
    """`count` random IPv6 addresses."""
    dice = random.Random(3)
    return [Prefix(b"\x20\x01" + dice.randbytes(14), 128) for _ in range(count)]


def listed(prefixes: list[Prefix], count: int) -> bytes:
    """`count` addresses in random order, each inside one of the prefixes, packed."""
    dice, found = random.Random(4), []
    for prefix in dice.choices(prefixes, k=count) if count > len(prefixes) else prefixes:
        number = int.from_bytes(prefix.address, "big")
        found.append(number | dice.getrandbits(32) & (0xFFFFFFFF >> prefix.length))
    dice.shuffle(found)
    return struct.pack(f">{len(found)}I", *found)


def unlisted(prefixes: Iterable[Prefix], count: int) -> bytes:
    """`count` random addresses that no prefix covers, packed."""
    dice, found = random.Random(5), list[int]()
    by_length: dict[int, set[int]] = {}
    for prefix in prefixes:
        shift = 32 - prefix.length
        by_length.setdefault(shift, set()).add(int.from_bytes(prefix.address, "big") >> shift)
    while len(found) < count:
        number = dice.getrandbits(32)
        covered = any(number >> shift in held for shift, held in by_length.items())
        if _usable(number) and not covered:
            found.append(number)
    return struct.pack(f">{count}I", *found)


def label(count: int, kind: str) -> str:
    """`1 address`, `10,000 prefixes`."""
    return f"{count:,} {kind}" if count == 1 else f"{count:,} {kind}es"


def texts(prefixes: Iterable[Prefix]) -> list[str]:
    """As people write them: addresses without a length."""
    return [str(prefix).removesuffix("/32") for prefix in prefixes]


def neighbour(prefix: Prefix) -> bytes:
    """The address beside an exact one, in the same /24 but for the last bit."""
    return prefix.address[:-1] + bytes((prefix.address[-1] ^ 1,))


def text(address: bytes) -> str:
    return inet_ntop(2 if len(address) == 4 else 10, address)
