"""The datapath on pinned maps; needs neither root nor bcc, only the right to open the pins."""

import mmap
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby, islice
from threading import Lock

from xdpctl import bpf, programs
from xdpctl.errors import CapacityError, DatapathError
from xdpctl.front import FRONT_BYTES, FrontArray
from xdpctl.pins import Pins
from xdpctl.plan import Plan, Write, entry_key
from xdpctl.prefix import Prefix
from xdpctl.wire import (
    Control,
    Covering,
    Explanation,
    Hits,
    Prefix4,
    Prefix6,
    Reason,
    Slot,
    SlotNumber,
    total_hits,
)

TABLES = ("exact4", "prefixes4", "exact6", "prefixes6")
MAPS = (*TABLES, "front4", "front6", "slots", "hits", "controls", "explanations")
_FAMILIES = {4: 4, 16: 6}  # address size to family
_ZERO = bytes(4)
_FULL = (7, 28)  # E2BIG from a hash, ENOSPC from a trie
_REPAINT_STEP = 1024
_BATCH_FROM = 16  # fewer writes than this go one by one


class PinnedDatapath:
    """Opens the maps under `pins` (see Pins) that a loader made."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins
        try:
            self._maps = {name: bpf.open_map(pins.map(name)) for name in MAPS}
            self._explain_fd = bpf.open_pin(pins.explain)
            self._fronts = {4: self._map_front(4), 6: self._map_front(6)}
        except OSError as error:
            raise DatapathError(
                f"the pinned maps under {pins.root} cannot be opened ({error.strerror}); "
                "is the loader running, and may this user read them?"
            ) from error
        # 64-bit words of the map's own memory: storing one is atomic
        self._slots = memoryview(self._map_slots()).cast("Q")
        self.capacity = self._maps["slots"].shape.max_entries - SlotNumber.FIRST
        self._cpus = self._maps["hits"].value_bytes // Hits.size()
        self._explaining = Lock()
        self._shadows: dict[int, FrontArray] = {}

    def _map_slots(self) -> mmap.mmap:
        slots = self._maps["slots"]
        size = slots.shape.max_entries * Slot.SIZE
        return mmap.mmap(slots.fd, (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE)

    def _map_front(self, family: int) -> FrontArray:
        fd = self._maps[f"front{family}"].fd
        return FrontArray(family, mmap.mmap(fd, FRONT_BYTES[family]))

    def scan(self) -> Iterator[list[tuple[Prefix, int]]]:
        for table in TABLES:
            for batch in self._maps[table].batches():
                yield [_entry(table, key, value) for key, value in batch]

    def slot_of(self, prefix: Prefix) -> int | None:
        table, key = entry_key(prefix)
        value = self._maps[table].get(key)
        return int.from_bytes(value[:4], "little") if value else None

    def slots(self, first: int, count: int) -> list[bytes]:
        raw = self._slots[first : first + count].tobytes()
        return [raw[at : at + Slot.SIZE] for at in range(0, len(raw), Slot.SIZE)]

    def apply(self, plan: Plan) -> None:
        self._mark(plan.marks)
        for (table, deletes), run in groupby(plan.writes, lambda w: (w.table, w.value is None)):
            self._write(table, deletes, list(run))

    def _mark(self, prefixes: Iterable[Prefix]) -> None:
        for size, family in _FAMILIES.items():
            chosen = [prefix for prefix in prefixes if len(prefix.address) == size]
            self._fronts[family].mark(chosen)
            if self._shadows:
                self._shadows[family].mark(chosen)

    def _write(self, table: str, deletes: bool, run: list[Write]) -> None:
        if table == "slots":
            for _, key, value in run:
                number = int.from_bytes(key, "little")
                self._slots[number] = int.from_bytes(value or b"", sys.byteorder)
            return
        target = self._maps[table]
        if len(run) < _BATCH_FROM:
            for write in run:
                self._write_one(target, write)
            return
        keys = b"".join(write.key for write in run)
        if deletes:
            done = target.delete_many(keys, len(run))
        else:
            values = b"".join(self._value(table, write.value or b"") for write in run)
            done = target.put_many(keys, values, len(run))
        for write in run[done:]:
            self._write_one(target, write)

    def _value(self, table: str, value: bytes) -> bytes:
        return value * self._cpus if table == "hits" else value

    def _write_one(self, target: bpf.Map, write: Write) -> None:
        try:
            if write.value is None:
                target.delete(write.key)
            else:
                target.put(write.key, self._value(target.name, write.value))
        except OSError as error:
            kind = CapacityError if error.errno in _FULL else DatapathError
            raise kind(f"the kernel refused to write {target.name}: {error.strerror}") from error

    def repaint(self, prefixes: Iterable[Prefix]) -> Iterator[None]:
        self._shadows = {f: FrontArray(f, bytearray(size)) for f, size in FRONT_BYTES.items()}
        try:
            rest = iter(prefixes)
            while step := list(islice(rest, _REPAINT_STEP)):
                for size, family in _FAMILIES.items():
                    self._shadows[family].mark(p for p in step if len(p.address) == size)
                yield
            for family, shadow in self._shadows.items():
                self._fronts[family].memory[:] = bytes(shadow.memory[:])
        finally:
            self._shadows = {}

    def hits(self, slots: Iterable[int]) -> list[Hits]:
        table = self._maps["hits"]
        return [total_hits(table.get(number.to_bytes(4, "little")) or b"") for number in slots]

    def counters(self) -> dict[str, dict[Reason, Hits]]:
        found = {}
        for port in self._pins.ports():
            with suppress(FileNotFoundError):  # detached since the listing
                counters = bpf.open_map(port / "counters")
                found[self._pins.interface(port)] = {
                    Reason(int.from_bytes(key, "little")): total_hits(value)
                    for key, value in counters.items()
                    if int.from_bytes(key, "little")
                }
                counters.close()
        return found

    def explain(self, frame: bytes) -> Explanation:
        with self._explaining:
            try:
                programs.run(self._explain_fd, frame)
                return Explanation.unpack(self._maps["explanations"].get(_ZERO) or b"")
            except OSError as error:
                raise DatapathError(f"explain failed: {error.strerror}") from error

    def bypass(self) -> bool:
        return bool(Control.unpack(self._maps["controls"].get(_ZERO) or bytes(8)).bypass)

    def set_bypass(self, on: bool) -> None:
        try:
            self._maps["controls"].put(_ZERO, Control(int(on)).pack())
        except OSError as error:
            raise DatapathError(f"the bypass switch did not move: {error.strerror}") from error


def _entry(table: str, key: bytes, value: bytes) -> tuple[Prefix, int]:
    if table.startswith("exact"):
        return Prefix(key, len(key) * 8), int.from_bytes(value, "little")
    wire = (Prefix4 if table == "prefixes4" else Prefix6).unpack(key)
    return Prefix(wire.address, wire.length), Covering.unpack(value).slot
