# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares the source table in the kernel with what it should hold, in short steps.

Each check yields, a step at a time, whether something differs. Between two steps table and image
agree, so a step compares what it has just read.
"""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from xdpctl.abi.constants import SlotNumber, Value
from xdpctl.base.net.prefix_arrays import FAMILIES, within
from xdpctl.control.committer import Committer

_STEP = 512
_KEYS = 8192  # keys of a set that one step checks


def check_rules(committer: Committer) -> Iterator[bool]:
    """For each batch, whether an entry of a rule or protected prefix has a wrong slot."""
    image, source = committer.state.image, committer.datapath.source
    everything = iter(list(image.entries))
    while prefixes := [p for p in islice(everything, _STEP) if p in image.entries]:
        pairs = zip(prefixes, source.slots_of(prefixes), strict=True)
        yield any(image.entries[prefix] not in slots for prefix, slots in pairs)
        image = committer.state.image


def check_sets(committer: Committer) -> Iterator[bool]:
    """For each batch, whether an entry of a set does not lead to the set's slot."""
    source = committer.datapath.source
    for slot, by_family in list(committer.state.image.sets.items()):
        for family, keys in by_family.items():
            for first in range(0, len(keys), _KEYS):
                current = committer.state.image.sets.get(slot, {}).get(family)
                if current is not keys:  # the set was replaced meanwhile
                    break
                values = source.tables[family].values(keys[first : first + _KEYS])
                kinds = np.unique(values).tolist()
                yield any(slot not in source.nodes.slots(kind) for kind in kinds)


def check_rest(committer: Committer) -> Iterator[bool]:
    """For each batch of the tables, whether it has an entry that it should not have."""
    nodes = committer.datapath.source.nodes
    for family, keys, values in committer.datapath.source.scan():
        image = committer.state.image
        alone = (values >= SlotNumber.FIRST) & (values < Value.LIST)
        rules = zip(FAMILIES[family].prefixes(keys[alone]), values[alone].tolist(), strict=True)
        wrong = any(image.entries.get(prefix) != slot for prefix, slot in rules)
        for value in np.unique(values[~alone]).tolist():
            listed, slots = keys[values == value], nodes.slots(value)
            wrong |= not slots
            for slot in slots:
                if slot in image.sets:
                    wrong |= not within(image.sets[slot][family], listed).all()
                else:
                    prefixes = FAMILIES[family].prefixes(listed)
                    wrong |= any(image.entries.get(prefix) != slot for prefix in prefixes)
        yield bool(wrong)
