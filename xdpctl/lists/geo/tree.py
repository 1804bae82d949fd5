# SPDX-License-Identifier: GPL-2.0-or-later
"""A binary tree of prefixes, walked a whole level at a time."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.prefix_arrays import Family, Keys

Numbers = NDArray[np.int64]  # of nodes or records; -1 is none
Picked = Callable[[Numbers], NDArray[np.bool_]]  # which of these records
MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, RFC 4291 section 2.5.5.2


class Damaged(Exception):
    """The bytes contradict themselves; each reader makes it a ConfigError with the path."""


class Spot(NamedTuple):
    """A place in a tree: a node, or at the end of a branch none, and the record that holds."""

    node: int
    record: int


class Tree(Protocol):
    """Its nodes are numbered from 0."""

    @property
    def size(self) -> int:
        """How many nodes it has."""
        ...

    def below(self, nodes: Numbers, records: Numbers) -> tuple[Numbers, Numbers]:
        """Nodes and records on both sides, (n, 2), of nodes where those records hold."""
        ...


def descend(tree: Tree, start: Spot, path: bytes) -> Spot:
    """Where these bits lead, or the end of the branch before that."""
    spot = start
    for at in range(len(path) * 8):
        if spot.node < 0:
            break
        nodes, records = tree.below(np.array([spot.node]), np.array([spot.record]))
        side = path[at // 8] >> (7 - at % 8) & 1
        spot = Spot(int(nodes[0, side]), int(records[0, side]))
    return spot


def leaves(
    tree: Tree, start: Spot, family: Family, picked: Picked, barred: Sequence[int] = ()
) -> Keys:
    """The prefixes below a spot whose record is picked, save those below the barred nodes.

    They are disjoint, but neither sorted nor as few as they could be.
    """
    addresses = np.zeros((1, max(1, family.bits // 64)), np.uint64)
    nodes, records = np.array([start.node]), np.array([start.record])
    found, seen = [], 0
    for length in range(family.bits + 1):
        ends = np.flatnonzero((nodes < 0) & (records >= 0))
        found.append(_keys(family, addresses[ends[picked(records[ends])]], length))
        inner = (nodes >= 0) & ~np.isin(nodes, barred)
        seen += int(np.count_nonzero(inner))
        if seen > tree.size or (length == family.bits and inner.any()):
            raise Damaged("its branches run together, or are longer than addresses")
        if length == family.bits or not inner.any():
            break
        pair = tree.below(nodes[inner], records[inner])
        nodes, records = pair[0].reshape(-1), pair[1].reshape(-1)
        addresses = np.repeat(addresses[inner], 2, axis=0)
        word, bit = divmod(family.bits - length - 1, 64)
        addresses[1::2, -1 - word] |= np.uint64(1 << bit)
    return np.concatenate(found)


def _keys(family: Family, addresses: NDArray[np.uint64], length: int) -> Keys:
    if family.number == 4:
        return family.pack4(addresses[:, 0], length)
    raw = addresses.astype(">u8").view(np.uint8).reshape(-1, 16)
    return family.pack6(raw, np.full(len(raw), length, np.uint8))
