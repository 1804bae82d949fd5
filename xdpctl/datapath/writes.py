# SPDX-License-Identifier: GPL-2.0-or-later
"""The writes a plan is made of, and making them on a source table."""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import NamedTuple

import numpy as np

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, Keys
from xdpctl.datapath.tables.source import SourceTable


class Word(NamedTuple):
    """Store a slot's word."""

    slot: int
    value: bytes


class Zero(NamedTuple):
    """Set a slot's hits to 0."""

    slot: int


class PointAt(NamedTuple):
    """Let a prefix lead to slot `new` instead of `old` (0: none), beside the others on it."""

    prefix: Prefix
    old: int
    new: int


class PointAllAt(NamedTuple):
    """The same for many prefixes of one family."""

    family: int
    keys: Keys
    old: int
    new: int


Write = Word | Zero | PointAt | PointAllAt


def _together(write: Write) -> tuple[object, ...]:
    """Neighbours with the same answer may be made in any order, so in one go."""
    if isinstance(write, PointAt):
        return PointAt, write.prefix.family, write.prefix.length
    if isinstance(write, PointAllAt):
        return PointAllAt, id(write.keys)
    return (type(write),)


def make(source: SourceTable, writes: Iterable[Write], zero: Callable[[list[int]], None]) -> None:
    """Make them in order; `zero` clears the hits of slots, which lie outside the table."""
    for _, group in groupby(writes, _together):
        run = list(group)
        match run[0]:
            case Word():
                for slot, value in run:  # type: ignore[misc]
                    source.words[slot] = int.from_bytes(value, "little")
            case Zero():
                zero([write.slot for write in run])  # type: ignore[union-attr]
            case PointAt(prefix):
                prefixes, old, new = zip(*run, strict=True)
                keys = FAMILIES[prefix.family].keys(prefixes)
                source.lead(prefix.family, keys, np.array(old), np.array(new))
            case PointAllAt(family, keys, before, after):
                source.lead(family, keys, before, after)
