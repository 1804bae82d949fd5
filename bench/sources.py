# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses and prefixes to list and to send from, as keys; the same in every run.

Keys are those of xdpctl/base/net/prefix_arrays.py; an address to send from is a /32 or /128.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.prefix_arrays import V4, V6, Family, Keys, addresses4, raw6, within

LENGTHS = range(12, 32)
LENGTHS6 = {32: 0.1, 40: 0.15, 48: 0.3, 56: 0.15, 64: 0.2, 128: 0.1}
_SHARE = 64  # the prefixes of one length cover at most 1/64 of the IPv4 address space
# the first octets of special and private addresses: never listed, and never sent from
_LEFT_OUT = (10, 100, 127, 169, 172, 192, 198, 203)
_REGISTRIES = (0x240, 0x260, 0x280, 0x2A0, 0x2C0)  # the /12s of the regional registries
POOL = 1 << 22
_UNIT = {4: 24, 6: 32}  # prefix length of a unit of the front filter; "near" is the same unit


def _dice(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def family_of(keys: Keys) -> Family:
    return V6 if keys.dtype == V6.dtype else V4


def _addresses(dice: np.random.Generator, count: int) -> Keys:
    """Random IPv4 addresses, somewhat fewer than `count`."""
    drawn = dice.integers(0, 1 << 32, count, np.uint64)
    tops = drawn >> np.uint64(24)
    usable = (tops >= 1) & (tops <= 223) & ~np.isin(tops, _LEFT_OUT)
    return V4.pack4(drawn[usable], 32)


def _addresses6(dice: np.random.Generator, count: int) -> Keys:
    """Random IPv6 addresses in the networks of the regional registries."""
    raw = dice.integers(0, 256, (count, 16), np.uint8)
    tops = np.array(_REGISTRIES, np.uint16)[dice.integers(0, len(_REGISTRIES), count)]
    raw[:, 0] = tops >> 4
    raw[:, 1] = raw[:, 1] & 0x0F | (tops & 0x0F) << 4
    return V6.pack6(raw, np.full(count, 128))


def _drawn(family: Family, dice: np.random.Generator, count: int) -> Keys:
    return (_addresses if family is V4 else _addresses6)(dice, count)


def _unlike(keys: Keys) -> Keys:
    """The keys without duplicates, in the order of their first appearance."""
    return keys[np.sort(np.unique(keys, return_index=True)[1])]


@cache
def _pool() -> Keys:
    return _unlike(_addresses(_dice(1), POOL))


def exact(count: int) -> Keys:
    """`count` random IPv4 addresses; a smaller set is the beginning of a larger one."""
    assert count <= len(_pool())
    return _pool()[:count]


def _shares(count: int) -> list[tuple[int, int]]:
    """The number of prefixes of each length: equal numbers, as far as _SHARE allows."""
    left, shares = count, []
    for done, length in enumerate(LENGTHS):
        many = min(left // (len(LENGTHS) - done), (1 << length) // _SHARE)
        shares.append((length, many))
        left -= many
    return shares


def _mix(family: Family, seed: int, shares: list[tuple[int, int]]) -> Keys:
    dice, parts = _dice(seed), []
    for length, many in shares:
        parts.append(_unlike(family.widened(_drawn(family, dice, 2 * many + 64), length))[:many])
    return np.concatenate(parts)


@cache
def mixed(count: int) -> Keys:
    """Random IPv4 prefixes from /12 to /31."""
    return _mix(V4, 2, _shares(count))


@cache
def mixed6(count: int) -> Keys:
    """Random IPv6 prefixes, with the shares of lengths in LENGTHS6."""
    return _mix(V6, 6, [(length, int(share * count)) for length, share in LENGTHS6.items()])


@cache
def exact6(count: int) -> Keys:
    """`count` random IPv6 addresses."""
    return _unlike(_addresses6(_dice(3), count))


def listed(keys: Keys, count: int) -> Keys:
    """`count` addresses in random order, each inside one of the prefixes."""
    dice, family = _dice(4), family_of(keys)
    most = len(keys) if count >= len(keys) else count
    order = dice.permutation(len(keys))[:most]
    if count > most:
        order = np.concatenate((order, dice.integers(0, len(keys), count - most)))
        dice.shuffle(order)
    return _inside(family, keys[order], dice)


def _inside(family: Family, keys: Keys, dice: np.random.Generator) -> Keys:
    """A random address inside each prefix."""
    if family is V4:
        hosts = np.uint64(0xFFFFFFFF) >> family.lengths(keys).astype(np.uint64)
        drawn = dice.integers(0, 1 << 32, len(keys), np.uint64)
        return V4.pack4(addresses4(keys) | drawn & hosts, 32)
    hosts6 = raw6(family.last(keys))[:, :16] ^ raw6(keys)[:, :16]
    drawn6 = dice.integers(0, 256, hosts6.shape, np.uint8)
    return V6.pack6(raw6(keys)[:, :16] | drawn6 & hosts6, np.full(len(keys), 128))


def covered(keys: Keys, addresses: Keys) -> NDArray[np.bool_]:
    """Which of the addresses lie inside one of the prefixes."""
    family, inside = family_of(keys), np.zeros(len(addresses), np.bool_)
    lengths = family.lengths(keys)
    for length in np.unique(lengths).tolist():
        of_length = np.sort(keys[lengths == length])
        inside |= within(of_length, family.widened(addresses, length))
    return inside


def _units(keys: Keys) -> Keys:
    """The units of the front filter that are listed in part, but not as a whole."""
    family = family_of(keys)
    narrow = keys[family.lengths(keys) > _UNIT[family.number]]
    return np.unique(family.widened(narrow, _UNIT[family.number]))


def unlisted(keys: Keys, count: int) -> Keys:
    """`count` random addresses that no prefix covers."""
    drawn = _drawn(family_of(keys), _dice(5), 3 * count)
    return drawn[~covered(keys, drawn)][:count]


def far(keys: Keys, count: int) -> Keys:
    """`count` random addresses in units of the front filter without any listed prefix."""
    drawn, family = unlisted(keys, 2 * count), family_of(keys)
    inside = within(_units(keys), family.widened(drawn, _UNIT[family.number]))
    return drawn[~inside][:count]


def near(keys: Keys, count: int) -> Keys:
    """`count` addresses that no prefix covers, each in a unit with a listed prefix."""
    dice, units = _dice(7), _units(keys)
    chosen = units[dice.integers(0, len(units), 2 * count)]
    drawn = _inside(family_of(keys), chosen, dice)
    return drawn[~covered(keys, drawn)][:count]


def packed(addresses: Keys) -> bytes:
    """The addresses in network order, concatenated."""
    if family_of(addresses) is V6:
        return raw6(addresses)[:, :16].tobytes()
    return addresses4(addresses).astype(">u4").tobytes()


def texts(keys: Keys) -> list[str]:
    """The keys as text; single addresses are written without a length."""
    family = family_of(keys)
    return [str(prefix).removesuffix(f"/{family.bits}") for prefix in family.prefixes(keys)]


def label(count: int, kind: str) -> str:
    """`1 address`, `10,000 prefixes`."""
    return f"{count:,} {kind}" if count == 1 else f"{count:,} {kind}es"


def neighbour(address: bytes) -> bytes:
    """The adjacent address, which differs in the last bit."""
    return address[:-1] + bytes((address[-1] ^ 1,))
