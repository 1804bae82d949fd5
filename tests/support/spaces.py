# SPDX-License-Identifier: GPL-2.0-or-later
"""Small spaces of prefixes whose addresses tests can enumerate, and prefixes from texts."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

import numpy as np

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, Family, Keys
from xdpctl.model.source_set import Entries


def space(net: bytes, tail: int) -> list[Prefix]:
    """Every prefix in a network that differs from it in the last `tail` bits."""
    bits, base = len(net) * 8, int.from_bytes(net, "big")
    return [
        Prefix((base + (place << (bits - length))).to_bytes(len(net), "big"), length)
        for length in range(bits - tail, bits + 1)
        for place in range(1 << (length - bits + tail))
    ]


def parsed(*texts: str) -> list[Prefix]:
    return [parse_prefix(text) for text in texts]


def keys(family: Family, prefixes: Iterable[Prefix]) -> Keys:
    """The sorted keys of prefixes."""
    return np.sort(family.keys(prefixes))


def by_family(prefixes: Iterable[Prefix]) -> Entries:
    """The entries of a set: sorted keys by family, without duplicates."""
    listed = set(prefixes)
    return {
        number: keys(family, (p for p in listed if p.family == number))
        for number, family in FAMILIES.items()
    }


def entries(*texts: str) -> Entries:
    return by_family(parsed(*texts))


def prefixes_of(listed: Entries) -> list[Prefix]:
    """The prefixes of all entries of a set."""
    return [p for number, keys in listed.items() for p in FAMILIES[number].prefixes(keys)]


def collapsed(prefixes: Iterable[Prefix]) -> list[IPv4Network | IPv6Network]:
    """The shortest list of the same addresses, as the standard library computes it."""
    nets = [ip_network((p.address, p.length)) for p in prefixes]
    return list(collapse_addresses(nets))  # type: ignore[type-var]  # all of one family
