# SPDX-License-Identifier: GPL-2.0-or-later
"""The datapath on pinned maps; it needs neither root nor bcc, only permission to open the pins."""

import os
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import Lock

import numpy as np

from xdpctl.abi.arrays import CONTROL
from xdpctl.abi.constants import Filled, Reason, SlotNumber
from xdpctl.abi.explanation import Explanation
from xdpctl.abi.structs import Capture, Hits, Pending, Sample, total_hits
from xdpctl.datapath.bpf import maps, programs, rcu
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.bpf.ringbuf import Ring
from xdpctl.datapath.flow_memory import PinnedFlowMemory
from xdpctl.datapath.heads import NEVER, Masks, PinnedHeads, PinnedOutHeads
from xdpctl.datapath.image import Plan
from xdpctl.datapath.matches.table import MAPS as MATCH_MAPS
from xdpctl.datapath.matches.table import MatchTable
from xdpctl.datapath.monitor_statistics import NOTHING, MonitorStatistics, read
from xdpctl.datapath.policers import PinnedPolicers
from xdpctl.datapath.senders import SLOT_AT, Forger, Sender, read_forgers
from xdpctl.datapath.senders import read as read_senders
from xdpctl.datapath.served import CountsOf, PinnedServed
from xdpctl.datapath.tables.sides import MAPS as SIDE_MAPS
from xdpctl.datapath.tables.sides import TRIES, SideTable
from xdpctl.datapath.tables.source import MAPS, SourceTable
from xdpctl.datapath.trials import PinnedTrials
from xdpctl.datapath.validation import ValidationWord
from xdpctl.datapath.writes import make
from xdpctl.errors import DatapathError

_MAPPED = (
    *(name for names in MAPS.values() for name in names.values()),
    "nodes",
    "slots",
    *MATCH_MAPS,
    *SIDE_MAPS,
)
_RINGS = ("samples", "captures", "heads", "heads_out")
_FLOWS = (
    *(
        "flows",
        "proofs",
        "quic_cells",
        "served",
        "awaited",
        "memories",
        "budgets",
        "trials",
        "tried_flows",
        "seen",
    ),
    *("answered", "fragments", "challenges", "challenge_counts"),
)
_STATISTICS = ("statistics", "connections", "senders", "forgers")
_OTHERS = (
    *TRIES,
    "hits",
    "explanations",
    "controls",
    "pending",
    "paces",
    "paces_out",
    "strata",
    "strata_out",
    "volumes",
    "scratches",
    "ticks",
    "policed",
    *_FLOWS,
    *_STATISTICS,
    *_RINGS,
)
_ZERO = bytes(4)
_BATCH_FROM = 16  # fewer are written and read one by one
_SPARSE = 16  # slots in the span per wanted slot; above this, they are read one by one


@contextmanager
def _of(what: str) -> Iterator[None]:
    """Raise an OSError of a block as DatapathError, which the port documents."""
    try:
        yield
    except OSError as error:
        raise DatapathError(f"the kernel refused an operation on {what}: {error}") from error


class PinnedDatapath:
    """Opens the maps that a loader has pinned under `pins`; DatapathError if it cannot."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins
        try:
            self._maps = {name: maps.open_map(pins.map(name)) for name in (*_MAPPED, *_OTHERS)}
            memory = {name: self._maps[name].memory() for name in (*_MAPPED, "controls")}
            self._control = np.frombuffer(memory["controls"], CONTROL)[0]
            self.source = SourceTable(memory, self._control, rcu.wait)
            self.matches = MatchTable(memory, self._control, rcu.wait)
            self.sides = SideTable(memory, {4: self._maps[TRIES[0]], 6: self._maps[TRIES[1]]})
            self._samples, self._captures, heads, heads_out = (
                Ring(self._maps[name].fd, self._maps[name].shape.max_entries) for name in _RINGS
            )
            out = PinnedOutHeads(self._control, heads_out, self._maps["paces_out"])
            self.heads = PinnedHeads(
                self._control, heads, self._maps["paces"], self._maps["volumes"], out
            )
        except OSError as error:
            raise DatapathError(
                f"the pinned maps under {pins.root} cannot be opened ({error.strerror}); "
                "is the loader running, and does this user have permission to read them?"
            ) from error
        self.flows = PinnedFlowMemory(pins)
        self.trials = PinnedTrials(pins)
        self.policers = PinnedPolicers(self._control, self._maps["policed"])
        self.validation = ValidationWord(self._control)
        self.capacity = self._maps["slots"].shape.max_entries - SlotNumber.FIRST
        self._cpus = self._maps["hits"].value_bytes // Hits.size()
        self._explaining = Lock()

    def close(self) -> None:
        """Close the descriptors; mapped memory stays valid as long as a view of it exists."""
        for pinned in self._maps.values():
            pinned.close()

    def served(self) -> CountsOf:
        return PinnedServed(self._pins).of

    def modules(self) -> dict[str, int]:
        with _of("modules"):
            return self._pins.modules()

    def memory(self) -> dict[str, int]:
        sizes = {name: pinned.memory_bytes() for name, pinned in self._maps.items()}
        return dict(sorted(sizes.items(), key=lambda item: -item[1]))

    def apply(self, plan: Plan) -> None:
        with _of("hits"):
            make(self.source, plan.writes, self._zero)

    def _zero(self, slots: list[int]) -> None:
        hits, value = self._maps["hits"], bytes(Hits.size()) * self._cpus
        keys = [slot.to_bytes(4, "little") for slot in slots]
        done = 0
        if len(keys) >= _BATCH_FROM:
            done = hits.put_many(b"".join(keys), value * len(keys), len(keys))
        for key in keys[done:]:
            hits.put(key, value)
        if any(SlotNumber.SETS <= slot < SlotNumber.FIRST for slot in slots):
            self._forget_senders({slot.to_bytes(4, "little") for slot in slots})

    def _forget_senders(self, slots: Container[bytes]) -> None:
        for key, _ in list(self._maps["senders"].items()):
            if key[SLOT_AT:] in slots:
                self._maps["senders"].delete(key)

    def senders(self) -> list[Sender]:
        with _of("senders"):
            return list(read_senders(self._maps["senders"].items()))

    def forgers(self) -> list[Forger]:
        with _of("forgers"):
            return list(read_forgers(self._maps["forgers"].items()))

    def hits(self, slots: Iterable[int]) -> list[Hits]:
        table, wanted = self._maps["hits"], list(slots)
        span = max(wanted) - min(wanted) + 1 if wanted else 0
        if span > len(wanted) * _SPARSE or len(wanted) < _BATCH_FROM:
            return [total_hits(table.get(n.to_bytes(4, "little")) or b"") for n in wanted]
        first = min(wanted)
        per_cpu = np.frombuffer(table.values(first, span), np.uint64).reshape(span, -1, 2)
        totals = per_cpu.sum(1)[np.array(wanted) - first].tolist()
        return [Hits(packets, octets) for packets, octets in totals]

    def put_hits(self, counted: Mapping[int, Hits]) -> None:
        """Set the hits of slots, before the filter is in force."""
        with _of("hits"):
            for slot, hits in counted.items():
                value = hits.pack().ljust(Hits.size() * self._cpus, b"\0")
                self._maps["hits"].put(slot.to_bytes(4, "little"), value)

    def watch(self, slot: int, mask: int) -> None:
        self._control["mask"] = mask
        self._control["sampled"] = slot

    def samples(self) -> Iterator[Sample]:
        for data in self._samples.read():
            yield Sample.unpack(data)

    def capture(self, masks: Masks, slot: int) -> None:
        self._control["captured"] = NEVER  # capture nothing while the slot changes
        self._control["capture_slot"] = slot
        self._control["captured"] = masks
        self.heads.capture(masks)

    def captures(self) -> Iterator[Capture]:
        for data in self._captures.read():
            yield Capture.unpack(data)

    def monitored(self) -> list[int]:
        with _of("statistics"):
            return [int.from_bytes(key, "little") for key, _ in self._maps["statistics"].items()]

    def begin_statistics(self, slot: int) -> None:
        self.end_statistics(slot)
        with _of("statistics"):
            self._maps["statistics"].put(slot.to_bytes(4, "little"), NOTHING)

    def end_statistics(self, slot: int) -> None:
        with _of("statistics"):
            self._maps["statistics"].delete(slot.to_bytes(4, "little"))
            for key, _ in list(self._connections(slot)):
                self._maps["connections"].delete(key)

    def statistics(self, slot: int) -> MonitorStatistics | None:
        with _of("statistics"):
            value = self._maps["statistics"].get(slot.to_bytes(4, "little"))
            return read(value, self._connections(slot)) if value else None

    def _connections(self, slot: int) -> Iterator[tuple[bytes, int]]:
        for key, value in self._maps["connections"].items():
            if key[:4] == slot.to_bytes(4, "little"):
                yield key, int.from_bytes(value, "little")

    def lost(self) -> int:
        value = self._maps["pending"].get(_ZERO) or b""
        size = Pending.size()
        per_cpu = (Pending.unpack(value[at : at + size]) for at in range(0, len(value), size))
        return sum(pending.lost for pending in per_cpu)

    def counters(self) -> dict[str, dict[Reason, Hits]]:
        by_interface = {}
        for port in self._pins.ports():
            with suppress(FileNotFoundError):  # detached since the listing
                counters = maps.open_map(port / "counters")
                by_interface[self._pins.interface(port)] = {
                    Reason(int.from_bytes(key, "little")): total_hits(value)
                    for key, value in counters.items()
                    if int.from_bytes(key, "little")
                }
                counters.close()
        return by_interface

    def explain(self, frame: bytes, outside: bool = False) -> Explanation:
        pin = self._pins.explain_of(outside)
        with self._explaining:
            try:
                # open the pin each time: after a restart of the loader it is another program
                fd = maps.open_pin(pin)
                try:
                    programs.run(fd, frame)
                finally:
                    os.close(fd)
                return Explanation.unpack(self._maps["explanations"].get(_ZERO) or b"")
            except FileNotFoundError as error:
                raise DatapathError(
                    "the loader has not loaded the explain program yet; try again in a moment"
                ) from error
            except OSError as error:
                raise DatapathError(f"explain failed: {error.strerror}") from error

    @property
    def filled(self) -> Filled:
        """Whether the loader may put this filter in the place of an earlier one."""
        value = int(self._control["filled"])
        return Filled(value) if value in set(Filled) else Filled.NOT

    @filled.setter
    def filled(self, value: Filled) -> None:
        self._control["filled"] = value

    def bypass(self) -> bool:
        return bool(self._control["bypass"])

    def set_bypass(self, on: bool) -> None:
        self._control["bypass"] = int(on)
