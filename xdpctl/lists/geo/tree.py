# SPDX-License-Identifier: GPL-2.0-or-later
"""Traversal of a binary tree of prefixes, one level at a time."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.prefix_arrays import Family, Keys

Numbers = NDArray[np.int64]  # numbers of nodes or records; -1 is none
Picked = Callable[[Numbers], NDArray[np.bool_]]  # a mask of the records that are selected
MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, RFC 4291 section 2.5.5.2


class Damaged(Exception):
    """The file is inconsistent; each reader turns this into a ConfigError with the path."""


class Spot(NamedTuple):
    """A position in a tree: a node (-1 at the end of a branch) and the record that applies."""

    node: int
    record: int


class Tree(Protocol):
    """The interface of a tree; its nodes are numbered from 0."""

    @property
    def size(self) -> int: ...

    def below(self, nodes: Numbers, records: Numbers) -> tuple[Numbers, Numbers]:
        """The children of n nodes and the records that apply there, two arrays of shape (n, 2).

        `records` are those that apply at `nodes`.
        """
        ...


def descend(tree: Tree, start: Spot, path: bytes) -> Spot:
    """The position at the end of a path of bits, or at the end of a shorter branch."""
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
    """The keys of the prefixes below a position whose record is picked, except below `barred`.

    They are disjoint, but neither sorted nor merged. Damaged if the tree has cycles.
    """
    addresses = np.zeros((1, max(1, family.bits // 64)), np.uint64)
    nodes, records = np.array([start.node]), np.array([start.record])
    parts, visited = [], 0
    for length in range(family.bits + 1):
        ends = np.flatnonzero((nodes < 0) & (records >= 0))
        parts.append(_keys(family, addresses[ends[picked(records[ends])]], length))
        inner = (nodes >= 0) & ~np.isin(nodes, barred)
        visited += int(np.count_nonzero(inner))
        if visited > tree.size or (length == family.bits and inner.any()):
            raise Damaged("its branches join, or are longer than addresses")
        if length == family.bits or not inner.any():
            break
        pair = tree.below(nodes[inner], records[inner])
        nodes, records = pair[0].reshape(-1), pair[1].reshape(-1)
        addresses = np.repeat(addresses[inner], 2, axis=0)
        word, bit = divmod(family.bits - length - 1, 64)
        addresses[1::2, -1 - word] |= np.uint64(1 << bit)
    return np.concatenate(parts)


def _keys(family: Family, addresses: NDArray[np.uint64], length: int) -> Keys:
    if family.number == 4:
        return family.pack4(addresses[:, 0], length)
    raw = addresses.astype(">u8").view(np.uint8).reshape(-1, 16)
    return family.pack6(raw, np.full(len(raw), length, np.uint8))
