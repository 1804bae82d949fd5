# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles an ordered list of matches to the tables that bpf/signatures.bpf.h reads. Pure.

Each field's values are split where a range of a match begins or ends. All values between two
bounds share one bitmap of the matches that have them. Equal bitmaps are stored once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.arrays import GENERATION, LOOKUP, PAYLOAD
from xdpctl.abi.constants import Constants, Field
from xdpctl.abi.sizes import (
    BITMAP_WORDS,
    BITMAPS_MAX,
    CLASS_BITS,
    HAS_PAYLOAD,
    MODULE_MASK,
    MODULE_SHIFT,
    WINDOW_BYTES,
)
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import CapacityError
from xdpctl.model.match.arrays import passing
from xdpctl.model.match.bits import Bits
from xdpctl.model.match.components import COMPONENTS, Kind
from xdpctl.model.match.match import Match
from xdpctl.model.match.payload import Payload
from xdpctl.model.match.ranges import Ranges

FAMILIES = (4, 6)
_PREFIXES = {"source": Field.SOURCE, "destination": Field.DESTINATION}
_EITHER_PORT = -1  # not a Field: FlowSpec's `port` matches the source or the destination port
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
_NO_MODULE = MODULE_MASK - 1  # a number that no module has
_ABSENT = 1  # one more value for each field: the packet does not have the field


class FieldKey(NamedTuple):
    """A field that matches name, and the number of its values."""

    field: int
    size: int


Allowed = dict[FieldKey, Ranges]


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one generation: its record, the classes of all fields, and their bitmaps.

    `payloads`: for each match in their order, the bytes that it compares.
    """

    generation: Any
    classes: NDArray[np.uint32]
    bitmaps: NDArray[np.uint64]
    payloads: Any

    @property
    def empty(self) -> bool:
        """Whether there is no match for either family."""
        return not self.generation["families"]["whole"].any()


def compile_tables(
    ordered: Sequence[tuple[Match, int]], modules: Mapping[str, int] | None = None
) -> Tables:
    """Compile matches with their slots, in the order in which packets meet them.

    `modules` are the numbers of modules; a match with a module that is not there takes no packet.

    CapacityError if there are more than SIGNATURES_MAX, or too many different bitmaps.
    """
    if len(ordered) > Constants.SIGNATURES_MAX:
        raise CapacityError(
            f"{len(ordered)} matches were requested, and the limit is "
            f"{Constants.SIGNATURES_MAX}; nothing was applied. Remove some, or merge them: a "
            "component can have many values."
        )
    generation = np.zeros(1, GENERATION)[0]
    generation["slots"][: len(ordered)] = [slot for _, slot in ordered]
    payloads = np.zeros(len(ordered), PAYLOAD)
    for number, (match, _) in enumerate(ordered):
        if payload := match.get("payload"):
            _fill(payloads[number], payload)
            generation["slots"][number] |= HAS_PAYLOAD
        if name := match.get("module"):
            asked = 1 + (modules or {}).get(name, _NO_MODULE)
            generation["slots"][number] |= asked << MODULE_SHIFT
    pool, parts, at = _Pool(), [np.zeros(0, np.uint32)], 0
    for index, family in enumerate(FAMILIES):
        allowed = [_allowed(match, family) for match, _ in ordered]
        of_family = np.array([fields is not None for fields in allowed], np.bool_)
        record = generation["families"][index]
        record["payload_used"] = bool(of_family @ (payloads["least"] > 0))
        record["whole"] = pool.classes(_rows(of_family[:, np.newaxis]))[0] if of_family.any() else 0
        lookups = _lookups([fields or {} for fields in allowed], of_family)
        for key, bounds, taken in lookups:
            if key.field == _EITHER_PORT:
                record["port"], record["port_used"] = at, 1
            else:
                record["lookups"][record["lookups_used"]] = np.array((at, key.field), LOOKUP)
                record["lookups_used"] += 1
            parts.append(np.repeat(pool.classes(_rows(taken)), np.diff(bounds)))
            at += key.size
    return Tables(generation, np.concatenate(parts), pool.bitmaps(), payloads)


def _fill(record: Any, payload: Payload) -> None:
    """Fill a PAYLOAD record of zeros."""
    for number, window in enumerate(payload):
        record["at"][number] = window.at
        record["differing"] |= window.differs << number
        for name, data in (("value", window.value), ("mask", window.mask)):
            record[name][number] = np.frombuffer(data.ljust(WINDOW_BYTES, b"\0"), np.uint64)[0]
    record["least"] = max(window.end for window in payload)


def _lookups(
    allowed: Sequence[Allowed], of_family: NDArray[np.bool_]
) -> Iterator[tuple[FieldKey, NDArray[np.int64], NDArray[np.bool_]]]:
    """For each field: the bounds of its intervals, and which matches have each interval.

    The field that most matches depend on comes first, so most packets need one or two look-ups.
    """
    users: dict[FieldKey, dict[Ranges, list[int]]] = {}
    for number, fields in enumerate(allowed):
        for key, ranges in fields.items():
            users.setdefault(key, {}).setdefault(ranges, []).append(number)
    counts = {key: sum(map(len, alike.values())) for key, alike in users.items()}
    for key, alike in sorted(users.items(), key=lambda item: (-counts[item[0]], item[0])):
        ends = np.array([(low, high + 1) for ranges in alike for low, high in ranges], np.int64)
        bounds = np.unique(np.append(ends, (0, key.size)))
        pairs = iter(np.searchsorted(bounds, ends).tolist())
        taken = np.repeat(of_family[:, np.newaxis], len(bounds) - 1, axis=1)
        for ranges, numbers in alike.items():
            row = np.zeros(len(bounds) - 1, np.bool_)
            for first, last in islice(pairs, len(ranges)):
                row[first:last] = True
            taken[numbers] = row
        yield key, bounds, taken


@lru_cache(4 * Constants.SIGNATURES_MAX)
def _allowed(match: Match, family: int) -> Allowed | None:
    """The ranges of each field that a match allows, for packets of a family.

    None if the match is for the other family only.
    """
    if match.family not in (None, family):
        return None
    allowed: Allowed = {}
    for name, value in match.components:
        component = COMPONENTS[name]
        if component.kind is Kind.PREFIX:
            allowed |= dict(_words(value, _PREFIXES[name]))
            continue
        if component.kind in (Kind.PAYLOAD, Kind.MODULE):
            continue  # bytes are compared afterwards
        size = component.most + 1 + _ABSENT
        ranges = value if component.kind is Kind.NUMBER else _runs(value, component.most)
        allowed[FieldKey(_FIELDS[name], size)] = ranges
    return allowed


def _words(prefix: Prefix, field: Field) -> Iterator[tuple[FieldKey, Ranges]]:
    """The range of each 16-bit word of an address that a prefix covers."""
    for number in range(len(prefix.address) // 2):
        bits_left = prefix.length - 16 * number
        if bits_left <= 0:
            return
        low = int.from_bytes(prefix.address[2 * number : 2 * number + 2], "big")
        high = low | (_WORD - 1) >> min(bits_left, 16)
        yield FieldKey(field + number, _WORD), ((low, high),)


@lru_cache(256)
def _runs(value: Bits, most: int) -> Ranges:
    """The ranges of numbers whose bits match a list of bit tests."""
    passed = passing(value, np.arange(most + 1))
    edges = np.flatnonzero(np.diff(passed, prepend=False, append=False)).reshape(-1, 2)
    return tuple((first, after - 1) for first, after in edges.tolist())


def _rows(taken: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Each column as a row with a bitmap; the first match is the lowest bit of word 0."""
    packed = np.zeros((taken.shape[1], BITMAP_WORDS * 8), np.uint8)
    packed_bits = np.packbits(taken, axis=0, bitorder="little")
    packed[:, : len(packed_bits)] = packed_bits.T
    return packed.view("<u8").astype(np.uint64)


class _Pool:
    """Collects different bitmaps and numbers them."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def classes(self, rows: NDArray[np.uint64]) -> NDArray[np.uint32]:
        """The class of each row: its bitmap's number, and above it the non-zero words as bits."""
        numbers = [self._numbers.setdefault(row.tobytes(), len(self._numbers)) for row in rows]
        if len(self._numbers) > BITMAPS_MAX:
            raise CapacityError(
                f"the matches have more than {BITMAPS_MAX:,} different combinations; nothing "
                "was applied. Remove some, or list fewer ranges."
            )
        powers = np.uint32(1) << np.arange(BITMAP_WORDS, dtype=np.uint32)
        summaries = (rows != 0).astype(np.uint32) @ powers
        classes: NDArray[np.uint32] = summaries << np.uint32(CLASS_BITS)
        return classes | np.array(numbers, np.uint32)

    def bitmaps(self) -> NDArray[np.uint64]:
        joined = b"".join(self._numbers)
        return np.frombuffer(joined, np.uint64).reshape(-1, BITMAP_WORDS)
