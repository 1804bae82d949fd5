# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of writes in a plan, and how they are made on a source table."""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import NamedTuple

import numpy as np

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, Keys
from xdpctl.datapath.tables.source import SourceTable


class Word(NamedTuple):
    slot: int
    value: bytes


class Zero(NamedTuple):
    """Set a slot's hits to 0."""

    slot: int


class PointAt(NamedTuple):
    """Replace slot `old` by slot `new` (0 for none) in the list of slots of a prefix."""

    prefix: Prefix
    old: int
    new: int


class PointAllAt(NamedTuple):
    """The same as PointAt, for many prefixes of one family."""

    family: int
    keys: Keys
    old: int
    new: int


Write = Word | Zero | PointAt | PointAllAt


def _together(write: Write) -> tuple[object, ...]:
    """A grouping key: adjacent writes with equal keys may be made together, in any order."""
    if isinstance(write, PointAt):
        return PointAt, write.prefix.family, write.prefix.length
    if isinstance(write, PointAllAt):
        return PointAllAt, id(write.keys)
    return (type(write),)


def make(source: SourceTable, writes: Iterable[Write], zero: Callable[[list[int]], None]) -> None:
    """Make the writes in order; `zero` clears the hits of slots, which are in another map."""
    for _, group in groupby(writes, _together):
        run = list(group)
        match run[0]:
            case Word():
                source.write_words((slot, int.from_bytes(value, "little")) for slot, value in run)  # type: ignore[misc]
            case Zero():
                zero([write.slot for write in run])  # type: ignore[union-attr]
            case PointAt(prefix):
                prefixes, old, new = zip(*run, strict=True)
                keys = FAMILIES[prefix.family].keys(prefixes)
                source.lead(prefix.family, keys, np.array(old), np.array(new))
            case PointAllAt(family, keys, before, after):
                source.lead(family, keys, before, after)
