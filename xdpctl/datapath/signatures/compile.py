# SPDX-License-Identifier: GPL-2.0-or-later
"""From an ordered list of matches to the tables that bpf/signatures.bpf.h reads. Pure.

Each field's values are cut where a signature's ranges begin and end; what lies between two cuts
has one bitmap of the signatures that take it. Equal bitmaps are kept once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.arrays import GENERATION, LOOKUP
from xdpctl.abi.structs import BITMAP_WORDS, BITMAPS_MAX, CLASS_BITS, Constants, Field
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import CapacityError
from xdpctl.model.match import bits
from xdpctl.model.match.bits import Bits
from xdpctl.model.match.components import COMPONENTS, Kind
from xdpctl.model.match.match import Match
from xdpctl.model.match.ranges import Ranges

FAMILIES = (4, 6)
_PREFIXES = {"source": Field.SOURCE, "destination": Field.DESTINATION}
_EITHER_PORT = -1  # beside the fields: a signature takes the source or the destination port
_FIELDS: dict[str, int] = {
    "protocol": Field.PROTOCOL,
    "port": _EITHER_PORT,
    "destination_port": Field.DESTINATION_PORT,
    "source_port": Field.SOURCE_PORT,
    "icmp_type": Field.ICMP_TYPE,
    "icmp_code": Field.ICMP_CODE,
    "tcp_flags": Field.TCP_FLAGS,
    "packet_length": Field.PACKET_LENGTH,
    "dscp": Field.DSCP,
    "fragment": Field.FRAGMENT,
    "flow_label": Field.FLOW_LABEL,
    "ttl": Field.TTL,
    "vlan": Field.VLAN,
}
_WORD = 1 << 16
_ABSENT = 1  # one value more than a field can have: the packet has no such field


class FieldKey(NamedTuple):
    """A field to look at."""

    field: int
    size: int  # how many values there are


Asked = dict[FieldKey, Ranges]


@dataclass(frozen=True, slots=True)
class Tables:
    """One generation: the record, the classes of all fields, and the bitmaps they lead to."""

    generation: Any
    classes: NDArray[np.uint32]
    bitmaps: NDArray[np.uint64]

    @property
    def empty(self) -> bool:
        """Whether no signature is in it, of either family."""
        return not self.generation["families"]["whole"].any()


def compile_tables(ordered: Sequence[tuple[Match, int]]) -> Tables:
    """Matches with their slots, the one that is looked at first in front.

    CapacityError if they are more than SIGNATURES_MAX, or have too many different bitmaps.
    """
    if len(ordered) > Constants.SIGNATURES_MAX:
        raise CapacityError(
            f"there can be {Constants.SIGNATURES_MAX} signatures, and {len(ordered)} were asked "
            "for; nothing was applied. Remove some, or merge them: a component takes many values."
        )
    generation = np.zeros(1, GENERATION)[0]
    generation["slots"][: len(ordered)] = [slot for _, slot in ordered]
    pool, parts, at = _Pool(), [np.zeros(0, np.uint32)], 0
    for index, family in enumerate(FAMILIES):
        asked = [_asked(match, family) for match, _ in ordered]
        theirs = np.array([a is not None for a in asked], np.bool_)
        record = generation["families"][index]
        record["whole"] = pool.classes(_rows(theirs[:, np.newaxis]))[0] if theirs.any() else 0
        lookups = _lookups([a or {} for a in asked], theirs)
        for look, bounds, taken in lookups:
            if look.field == _EITHER_PORT:
                record["port"], record["port_used"] = at, 1
            else:
                record["lookups"][record["lookups_used"]] = np.array((at, look.field), LOOKUP)
                record["lookups_used"] += 1
            parts.append(np.repeat(pool.classes(_rows(taken)), np.diff(bounds)))
            at += look.size
    return Tables(generation, np.concatenate(parts), pool.bitmaps())


def _lookups(
    asked: Sequence[Asked], theirs: NDArray[np.bool_]
) -> Iterator[tuple[FieldKey, NDArray[np.int64], NDArray[np.bool_]]]:
    """For each field: where its values are cut, and who takes what lies between two cuts.

    What most signatures depend on comes first, so most packets are done after a look or two.
    """
    users: dict[FieldKey, dict[Ranges, list[int]]] = {}
    for number, one in enumerate(asked):
        for look, ranges in one.items():
            users.setdefault(look, {}).setdefault(ranges, []).append(number)
    counts = {look: sum(map(len, alike.values())) for look, alike in users.items()}
    for look, alike in sorted(users.items(), key=lambda item: (-counts[item[0]], item[0])):
        ends = np.array([(low, high + 1) for ranges in alike for low, high in ranges], np.int64)
        bounds = np.unique(np.append(ends, (0, look.size)))
        pairs = iter(np.searchsorted(bounds, ends).tolist())
        taken = np.repeat(theirs[:, np.newaxis], len(bounds) - 1, axis=1)
        for ranges, numbers in alike.items():
            row = np.zeros(len(bounds) - 1, np.bool_)
            for first, last in islice(pairs, len(ranges)):
                row[first:last] = True
            taken[numbers] = row
        yield look, bounds, taken


@lru_cache(4 * Constants.SIGNATURES_MAX)
def _asked(match: Match, family: int) -> Asked | None:
    """What a match asks of each field of that family's packets; None if it takes none of them."""
    if match.family not in (None, family):
        return None
    asked: Asked = {}
    for name, value in match.components:
        component = COMPONENTS[name]
        if component.kind is Kind.PREFIX:
            asked |= dict(_words(value, _PREFIXES[name]))
            continue
        size = component.most + 1 + _ABSENT
        ranges = value if component.kind is Kind.NUMBER else _runs(value, component.most)
        asked[FieldKey(_FIELDS[name], size)] = ranges
    return asked


def _words(prefix: Prefix, field: Field) -> Iterator[tuple[FieldKey, Ranges]]:
    """A prefix word by word: whole, in part, or not at all."""
    for number in range(len(prefix.address) // 2):
        left = prefix.length - 16 * number
        if left <= 0:
            return
        low = int.from_bytes(prefix.address[2 * number : 2 * number + 2], "big")
        high = low | (_WORD - 1) >> min(left, 16)
        yield FieldKey(field + number, _WORD), ((low, high),)


@lru_cache(256)
def _runs(value: Bits, most: int) -> Ranges:
    """The numbers whose bits a list of tests takes."""
    found: list[tuple[int, int]] = []
    for number in range(most + 1):
        if bits.holds(value, number):
            if found and found[-1][1] == number - 1:
                found[-1] = found[-1][0], number
            else:
                found.append((number, number))
    return tuple(found)


def _rows(taken: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """A column's bitmap as a row, the first signature's bit the lowest of the first word."""
    packed = np.zeros((taken.shape[1], BITMAP_WORDS * 8), np.uint8)
    found = np.packbits(taken, axis=0, bitorder="little")
    packed[:, : len(found)] = found.T
    return packed.view("<u8").astype(np.uint64)


class _Pool:
    """Different bitmaps, numbered."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def classes(self, rows: NDArray[np.uint64]) -> NDArray[np.uint32]:
        """The class of each row: its number, and above that which of its words are not 0."""
        numbers = [self._numbers.setdefault(row.tobytes(), len(self._numbers)) for row in rows]
        if len(self._numbers) > BITMAPS_MAX:
            raise CapacityError(
                f"the signatures have more than {BITMAPS_MAX:,} different combinations; nothing "
                "was applied. Remove some, or list fewer ranges."
            )
        powers = np.uint32(1) << np.arange(BITMAP_WORDS, dtype=np.uint32)
        summaries = (rows != 0).astype(np.uint32) @ powers
        classes: NDArray[np.uint32] = summaries << np.uint32(CLASS_BITS)
        return classes | np.array(numbers, np.uint32)

    def bitmaps(self) -> NDArray[np.uint64]:
        joined = b"".join(self._numbers)
        return np.frombuffer(joined, np.uint64).reshape(-1, BITMAP_WORDS)
