# SPDX-License-Identifier: GPL-2.0-or-later
"""From what a set's slot holds to what it should hold, as an ordered list of writes."""

from collections.abc import Iterator, Mapping

import numpy as np

from xdpctl.abi.structs import Action, Slot
from xdpctl.base.net.prefix_arrays import FAMILIES, Keys, difference
from xdpctl.datapath.plan import Image, Listing, Plan
from xdpctl.datapath.writes import PointAllAt, Word, Write, Zero

_FREE = Slot(Action.NONE).pack()


def replace_set(image: Image, slot: int, wanted: Listing | None) -> Plan:
    """The writes that make one set what it should be, or take it away.

    A new set appears at once, when all of it is in place, and one that goes is gone at once. A
    changed one is changed by what is different, and one that does something else does it at once.
    """
    held = image.listing(slot)
    value = wanted.value if wanted else _FREE
    old, new = (listing.keys if listing else {} for listing in (held, wanted))
    came = {f: difference(keys, old.get(f, keys[:0])) for f, keys in new.items()}
    gone = {f: difference(keys, new.get(f, keys[:0])) for f, keys in old.items()}
    word: list[Write] = [] if held and held.value == value else [Word(slot, value)]
    coming: list[Write] = list(_leads(came, 0, slot))
    leaving: list[Write] = list(_leads(gone, slot, 0))
    changes: list[Write]
    if not held:
        changes = [Word(slot, _FREE), Zero(slot), *coming, *word]
    elif not wanted:
        changes = word + leaving
    else:
        changes = leaving + word + coming if word else coming + leaving
    return Plan(
        writes=tuple(changes),
        slots={slot: value},
        sets={slot: wanted.keys if wanted else None},
        removals=sum(map(len, gone.values())),
    )


def _leads(keys: Mapping[int, Keys], old: int, new: int) -> Iterator[PointAllAt]:
    """By length: the longest first if they come, the shortest first if they go."""
    for number, family_keys in keys.items():
        lengths = FAMILIES[number].lengths(family_keys)
        present = np.unique(lengths).tolist()
        for length in reversed(present) if new else present:
            yield PointAllAt(number, family_keys[lengths == length], old, new)
