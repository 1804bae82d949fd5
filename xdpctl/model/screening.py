# SPDX-License-Identifier: GPL-2.0-or-later
"""Screening: which entries of a list may be in a set that drops."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.aggregate import count_addresses
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, Family, Keys, within
from xdpctl.model.source_set import Entries

WIDEST = {4: 8, 6: 16}  # one line of a feed must not drop a large part of the internet
# IANA's special-purpose registries (RFC 6890) and multicast: no feed should list these
SPECIAL = tuple(
    parse_prefix(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"),
        *("::/128", "::1/128", "fc00::/7", "fe80::/10", "ff00::/8"),
    )
)


@dataclass(frozen=True, slots=True)
class Screened:
    """The entries kept, and the numbers of entries left out: too wide, and special.

    `protected` is the number of kept entries that are in protected prefixes, `protected_addresses`
    that of their IPv4 addresses.
    """

    entries: Entries
    wide: int
    special: int
    protected: int
    protected_addresses: int


def inside(family: Family, keys: Keys, prefixes: Iterable[Prefix]) -> NDArray[np.bool_]:
    """A mask of the sorted keys that lie inside one of the prefixes."""
    mask = np.zeros(len(keys), np.bool_)
    lengths = family.lengths(keys)
    for prefix in prefixes:
        if prefix.family == family.number:
            first = family.keys([prefix])
            span = slice(
                int(np.searchsorted(keys, first)[0]),
                int(np.searchsorted(keys, family.last(first), "right")[0]),
            )
            mask[span] |= lengths[span] >= prefix.length
    return mask


def around(family: Family, keys: Keys, prefixes: Iterable[Prefix]) -> NDArray[np.bool_]:
    """A mask of the keys that equal or cover one of the prefixes."""
    listed = (p for p in prefixes if p.family == family.number)
    wider = {prefix.widened(n) for prefix in listed for n in range(prefix.length + 1)}
    return within(np.sort(family.keys(wider)), keys)


def outside(entries: Entries, prefixes: Iterable[Prefix]) -> Entries:
    """The entries without those inside one of the prefixes; unchanged arrays are not copied."""
    listed, out = list(prefixes), dict(entries)
    for number, keys in entries.items():
        covered = inside(FAMILIES[number], keys, listed)
        if covered.any():
            out[number] = keys[~covered]
    return out


def screen(entries: Entries, protected: Iterable[Prefix], allow_private: bool) -> Screened:
    """Remove entries that are too wide or overlap special prefixes; count those that are protected.

    Entries in protected prefixes stay in the set, since protection may change; they are not applied
    while they are protected.
    """
    remaining, wide, special = {}, 0, 0
    for number, keys in entries.items():
        family = FAMILIES[number]
        broad = family.lengths(keys) < WIDEST[number]
        private = np.zeros(len(keys), np.bool_)
        if not allow_private:
            private = inside(family, keys, SPECIAL) | around(family, keys, SPECIAL)
            private &= ~broad
        wide, special = wide + int(broad.sum()), special + int(private.sum())
        remaining[number] = keys[~(broad | private)] if broad.any() or private.any() else keys
    listed = list(protected)
    covered = {number: inside(FAMILIES[number], keys, listed) for number, keys in remaining.items()}
    number = sum(int(mask.sum()) for mask in covered.values())
    addresses = count_addresses(FAMILIES[4], remaining[4][covered[4]]) if covered[4].any() else 0
    return Screened(remaining, wide, special, number, addresses)
