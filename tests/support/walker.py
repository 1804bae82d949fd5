# SPDX-License-Identifier: GPL-2.0-or-later
"""The filter's search in plain Python, on the same memory that the program reads.

It reads only what bpf/table.bpf.h reads. So a missing bit in a filter, a cell in a wrong bucket
or a broken node has the same effect here as for a packet.
"""

from collections.abc import Iterator
from mmap import mmap

from xdpctl.abi.arrays import GENERATION, PAYLOAD, RATE
from xdpctl.abi.constants import Action, Constants, Mode, Reason, SlotNumber
from xdpctl.abi.sizes import BITMAP_WORDS, BITMAPS_MAX, BUCKETS_MAX, CLASSES_MAX, SIDE_UNITS_LOG2
from xdpctl.abi.structs import Slot
from xdpctl.datapath.tables.cells import buckets_log2
from xdpctl.datapath.tables.filters import SIZES
from xdpctl.datapath.tables.source import MAPS, SourceTable
from xdpctl.model.capacity import Capacity

MASK = (1 << 64) - 1
SMALL = Capacity(16, 4096, 4096)
LIST = 1 << 25


def plain_memory(rules: int, capacity: Capacity = SMALL) -> dict[str, bytearray | mmap]:
    """Zeroed buffers with the sizes of the maps, by name; pages that nobody writes take none."""
    sizes = {MAPS[f][part]: size for f, parts in SIZES.items() for part, size in parts.items()}
    for family, entries in capacity.entries.items():
        sizes[MAPS[family]["cells"]] = (128 << buckets_log2(entries)) if entries else 0
    sizes["entries6"] = 24 * (2 * capacity.ipv6 + 1)
    sizes["slots"] = 8 * (rules + SlotNumber.FIRST)
    sizes["classes"] = 4 * 2 * CLASSES_MAX
    sizes["bitmaps"] = 2 * 8 * BITMAPS_MAX * BITMAP_WORDS
    sizes["generations"] = 2 * GENERATION.itemsize
    sizes["payloads"] = 2 * PAYLOAD.itemsize * Constants.SIGNATURES_MAX
    sizes["rates"] = RATE.itemsize * Constants.SIGNATURES_MAX
    sizes["buckets"] = 8 * BUCKETS_MAX
    sizes["nodes"] = sizes["slots"] + 8 * 256
    sizes |= dict.fromkeys(("sided4", "sided6"), (1 << SIDE_UNITS_LOG2) // 8)
    return {name: mmap(-1, size) if size else bytearray() for name, size in sizes.items()}


class Memory:
    """The memory that the program reads: the source table and the control record."""

    def __init__(self, source: SourceTable, control: object) -> None:
        self.source = source
        self.seeds = [int(seed) for seed in control["seeds"]]  # type: ignore[index]
        self.log2 = [int(n) for n in control["buckets_log2"]]  # type: ignore[index]
        self.whole = [int(n) for n in control["whole"]]  # type: ignore[index]


def search(
    source: SourceTable, control: object, address: bytes, now_ns: int
) -> tuple[Reason, list[int]]:
    """The reason for a source, and the slots that a packet meets."""
    memory, met = Memory(source, control), list[int]()
    values = values4(memory, address) if len(address) == 4 else values6(memory, address)
    for value in values:
        for slot in listed(memory, value):
            reason = judge(memory, slot, now_ns, met)
            if reason:
                return reason, met
    return Reason.NO_RULE, met


def values4(memory: Memory, address: bytes) -> Iterator[int]:
    """The values found for an IPv4 address, longest prefix first."""
    filters, number = memory.source.tables[4].filters, int.from_bytes(address, "big")
    (near,) = filters.arrays()
    front, rest = (int(word) for word in near[number >> 14])
    if not front >> (number >> 8 & 63) & 1:
        return
    lengths, hashes = rest & 0xFFFFFFFF | memory.whole[0] << 31, rest >> 32
    for length in range(32, -1, -1):
        prefix = number >> (32 - length) << (32 - length)
        bit = ((prefix << 6 | length) * memory.seeds[1] & MASK) >> 59
        if (length == 32 or lengths >> (31 - length) & 1) and (length <= 18 or hashes >> bit & 1):
            yield find4(memory, prefix, length)


def buckets(memory: Memory, family: int, hashes: tuple[int, int]) -> Iterator[list[int]]:
    """The cells of the first bucket, and of the second if the first has overflowed."""
    log2 = memory.log2[0 if family == 4 else 1]
    flat = memory.source.tables[family].cells._memory
    for value in hashes:
        at = 8 * ((1 << log2) + ((value & MASK) >> (64 - log2)))
        cells = [int(cell) for cell in flat[at : at + 8]]
        yield cells
        if not cells[7]:
            return


def find4(memory: Memory, number: int, length: int) -> int:
    key = number << 6 | length
    for cells in buckets(memory, 4, (key * memory.seeds[0], key * memory.seeds[1])):
        for cell in cells:
            if cell >> 26 == key and cell & (1 << 26) - 1:
                return cell & (1 << 26) - 1
    return 0


def hash6(memory: Memory, high: int, low: int, length: int) -> int:
    x = high * memory.seeds[0] + length * memory.seeds[2] & MASK
    x = ((x ^ x >> 32) + low) * memory.seeds[1] & MASK
    return x ^ x >> 29


def values6(memory: Memory, address: bytes) -> Iterator[int]:
    """The values found for an IPv6 address, longest prefix first."""
    filters, number = memory.source.tables[6].filters, int.from_bytes(address, "big")
    front, near, single = (array.reshape(-1) for array in filters.arrays())
    unit = ((number >> 96) * 0x9E3779B1 & 0xFFFFFFFF) >> 8
    if not front[unit >> 3] >> (unit & 7) & 1:
        return
    longer, shorter = int(near[2 * (unit >> 8)]), int(near[2 * (unit >> 8) + 1])
    if shorter >> 63:
        hashed = hash6(memory, number >> 64, number & MASK, 128) * memory.seeds[2] & MASK
        unit = hashed >> 39
        if single[unit >> 3] >> (unit & 7) & 1:
            yield find6(memory, number, 128)
    for length in range(127, -1, -1):
        bit = longer >> (127 - length) if length >= 64 else shorter >> (63 - length)
        if memory.whole[1] if length == 0 else bit & 1:
            yield find6(memory, number >> (128 - length) << (128 - length), length)


def find6(memory: Memory, number: int, length: int) -> int:
    hashed = hash6(memory, number >> 64, number & MASK, length)
    entries = memory.source.tables[6]._entries  # type: ignore[attr-defined]
    for cells in buckets(memory, 6, (hashed * memory.seeds[2], hashed)):
        for cell in cells:
            index = cell & (1 << 26) - 1
            if index and cell >> 26 == hashed & (1 << 38) - 1:
                entry = entries[index]
                same = bytes(entry["address"]) == number.to_bytes(16, "big")
                if same and entry["length"] == length:
                    return int(entry["value"])
    return 0


def listed(memory: Memory, value: int) -> Iterator[int]:
    """The slots of a value's list."""
    while value:
        if value & LIST:
            word = int(memory.source.nodes._words[value & ~LIST])
            slot, value = word & 0xFFFFFFFF, word >> 32
        else:
            slot, value = value, 0
        yield slot


def judge(memory: Memory, number: int, now_ns: int, met: list[int]) -> Reason:
    slot = Slot.unpack(memory.source.words[number].tobytes())
    if slot.action == Action.NONE or (slot.expires_ns and slot.expires_ns <= now_ns):
        return Reason.NONE
    if SlotNumber.SETS <= number < SlotNumber.FIRST and number in met:
        return Reason.NONE
    met.append(number)
    if slot.mode == Mode.MONITOR:
        return Reason.NONE
    if number in (SlotNumber.PROTECTED, SlotNumber.NEIGHBOUR):
        return Reason.PROTECTED
    return Reason.DROPPED if slot.action == Action.DROP else Reason.ACCEPTED
