# SPDX-License-Identifier: GPL-2.0-or-later
"""The decider and the rank of each address of a small space, by brute force."""

from collections.abc import Iterable

from hypothesis import strategies as st

from tests.support.spaces import keys, space
from xdpctl.base.net.aggregate import merged
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, Family

NETS = (bytes((203, 0, 113, 64)), bytes.fromhex("20010db8") + bytes(11) + bytes((64,)))
Prefixes = set[Prefix]


@st.composite
def listings(draw: st.DrawFn, tail: int = 4) -> tuple[list[Prefix], Prefixes, Prefixes]:
    """All prefixes of a small space, those of a set, and the others."""
    everything = space(draw(st.sampled_from(NETS)), tail)
    some = st.sets(st.sampled_from(everything))
    return everything, draw(some), draw(some)


def family_of(prefixes: Iterable[Prefix]) -> Family:
    return FAMILIES[next(iter(prefixes)).family]


def merge(everything: list[Prefix], own: Prefixes, others: Prefixes) -> Prefixes:
    family, listed = family_of(everything), sorted(others)
    halves = [keys(family, listed[::2]), keys(family, listed[1::2])]
    result = family.prefixes(merged(family, keys(family, own), halves))
    assert len(result) == len(set(result))
    return set(result)


def covered(everything: Iterable[Prefix], own: Iterable[Prefix]) -> Prefixes:
    listed = set(own)
    return {a for a in everything if a.exact and any(p.covers(a) for p in listed)}


def rank(own: Iterable[Prefix], others: Prefixes, address: Prefix) -> object:
    """The rank of an address as aggregate.py defines it; None if the set does not cover it."""
    best = max((p for p in own if p.covers(address)), key=lambda p: p.length, default=None)
    if best is None:
        return None
    around = {o for o in others if o.covers(address)}
    return {o for o in around if o.length < best.length}, best in around


def decider(own: Prefixes, others: Prefixes, address: Prefix) -> object:
    """Which of the set and the others has the narrowest prefix that covers an address."""
    covering = [p for p in own | others if p.covers(address)]
    best = max(covering, key=lambda p: p.length, default=None)
    return best in own, best if best in others else None


def ranks(everything: list[Prefix], own: Iterable[Prefix], others: Prefixes) -> list[object]:
    return [rank(own, others, address) for address in everything if address.exact]
