# SPDX-License-Identifier: GPL-2.0-or-later
"""Plans for sets: the ordered list of writes that gives a set its desired content."""

from collections.abc import Iterator, Mapping

import numpy as np

from xdpctl.abi.constants import Action
from xdpctl.abi.structs import Slot
from xdpctl.base.net.prefix_arrays import FAMILIES, Keys, difference
from xdpctl.datapath.image import Image, Listing, Plan
from xdpctl.datapath.writes import PointAllAt, Word, Write, Zero

_FREE = Slot(Action.NONE).pack()


def replace_set(image: Image, slot: int, wanted: Listing | None) -> Plan:
    """Plan the writes that give a set its desired content, or remove it (`wanted` is None).

    A new set takes effect at once, when all its entries are written; a removed set stops at once.
    For a changed set only the differences are written, and a new action or mode takes effect at
    once.
    """
    current = image.listing(slot)
    value = wanted.value if wanted else _FREE
    old, new = (listing.keys if listing else {} for listing in (current, wanted))
    came = {f: difference(keys, old.get(f, keys[:0])) for f, keys in new.items()}
    gone = {f: difference(keys, new.get(f, keys[:0])) for f, keys in old.items()}
    word: list[Write] = [] if current and current.value == value else [Word(slot, value)]
    coming: list[Write] = list(_leads(came, 0, slot))
    leaving: list[Write] = list(_leads(gone, slot, 0))
    changes: list[Write]
    if not current:
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
    """The writes by prefix length: longest first to add entries, shortest first to remove them."""
    for number, family_keys in keys.items():
        lengths = FAMILIES[number].lengths(family_keys)
        present = np.unique(lengths).tolist()
        for length in reversed(present) if new else present:
            yield PointAllAt(number, family_keys[lengths == length], old, new)
