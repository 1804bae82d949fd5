# SPDX-License-Identifier: GPL-2.0-or-later
"""The maps of the programs: created and pinned, or adopted from an earlier process.

A pinned map is adopted if its type, sizes and flags are exactly the expected ones.
"""

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from xdpctl.abi.arrays import CHALLENGE, CONTROL, MEMORY, PORT
from xdpctl.abi.constants import Asking, MemoryNumber
from xdpctl.abi.sizes import ANSWERED_LOG2, FLEET_PORTS, FRAGMENTS_LOG2
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.bpffs import share
from xdpctl.datapath.bpf.maps import Map, MapShape
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.heads import NEVER
from xdpctl.datapath.image import SHARED
from xdpctl.datapath.loader.kept_maps import GROUPS, KeptMaps
from xdpctl.datapath.policers import policing
from xdpctl.datapath.tables.cells import SMALLEST_LOG2
from xdpctl.errors import DatapathError, SchemaError
from xdpctl.model.capacity import FLOWS_A_BLOCK, FlowSettings

PER_PROGRAM = ("counters", "stages", "port")  # maps that each program has for itself
_SECOND = 1_000_000_000
_LEAST_NS = 10 * _SECOND  # of a generation, however many flows come
_ANSWERED_NS = 3600 * _SECOND
_FRAGMENTS_NS = 30 * _SECOND  # within which fragments are reassembled (RFC 1122)


class PinnedMaps:
    """The maps of a filter, by name; `group` may open the pins. It keeps maps of an earlier one."""

    def __init__(
        self, pins: Pins, shapes: Mapping[str, MapShape], group: int, kept: KeptMaps
    ) -> None:
        self._pins, self._shapes, self._group, self._kept = pins, shapes, group, kept
        for directory in (pins.root, pins.ports_dir, *(pins.root / g.mark for g in GROUPS)):
            directory.mkdir(parents=True, exist_ok=True)
            share(directory, group, 0o750)
        self.shared = {
            name: self.adopt_or_create(name, pins.map(name))
            for name in shapes
            if name not in PER_PROGRAM
        }
        # while a map is mapped for writing, no process that can open its pin can freeze it
        self._mapped_ports: dict[Path, memoryview] = {}
        self._mapped = [self._map(name) for name, pinned in self.shared.items() if pinned.mappable]
        for target in SHARED:
            self.shared["slots"].put(target.shared.to_bytes(4, "little"), target.value)
        self.control = np.frombuffer(self.shared["controls"].memory(), CONTROL)[0]
        self._prepare()

    def close(self) -> None:
        """Close the descriptors; the pinned maps stay."""
        self._mapped.clear()
        self._mapped_ports.clear()
        for pinned in self.shared.values():
            pinned.close()

    def adopt_or_create(self, name: str, path: Path) -> Map:
        """The map that is pinned at `path`, or a new one; SchemaError if it is another kind."""
        wanted = self._shapes[name]
        if path.exists():
            pinned = maps.open_map(path)
            if pinned.shape != wanted:
                raise SchemaError(
                    f"{path} was replaced: it has {pinned.shape}, but {wanted} is needed. Nothing "
                    "was changed. `xdpctl down` removes it (traffic is not filtered until the next "
                    "start; rules are kept)."
                )
            share(path, self._group, 0o660)
            return pinned
        try:
            created = self._kept.find(self._pins, path) or maps.create_map(name, wanted)
        except OSError as error:
            raise DatapathError(str(error.strerror)) from error
        maps.pin(created.fd, path)
        share(path, self._group, 0o660)
        return created

    def _map(self, name: str) -> memoryview:
        try:
            return self.shared[name].memory()
        except OSError as error:
            raise frozen(self._pins.map(name), error) from error

    def _prepare(self) -> None:
        """Initialise new maps: seeds, keys, sizes, and masks with which nothing is copied."""
        control = self.control
        if not control["seeds"].any():
            kept = self._kept.seeds()
            random = [secrets.randbits(64) | 1 for _ in range(3)]
            control["seeds"] = np.frombuffer(kept, np.uint64) if kept else random
            control["buckets_log2"] = SMALLEST_LOG2
            for masks in ("observed", "captured", "observed_out"):
                control[masks] = NEVER
        control["policing"] = policing(key for key, _ in self.shared["policed"].items())
        challenge = np.frombuffer(self.shared["challenges"].memory(), CHALLENGE)[0]
        if not challenge["key"].any():
            challenge["key"] = [secrets.randbits(64) for _ in range(2)]

    def set_memories(self, flows: FlowSettings) -> None:
        """Set the number of elements and the age at which a generation of each memory ends."""
        records = np.frombuffer(self.shared["memories"].memory(), MEMORY)
        memory = records[MemoryNumber.FLOWS]
        memory["age_ns"], memory["least_ns"] = round(flows.age * _SECOND), _LEAST_NS
        memory["full"] = flows.flows
        cost_ns = round(_SECOND / flows.new_per_source) if flows.new_per_source else 0
        if memory["cost_ns"] != cost_ns:  # the buckets hold times that were computed with the cost
            np.frombuffer(self.shared["budgets"].memory(), np.uint64)[:] = 0
            memory["cost_ns"] = cost_ns
        for number, age_ns, least_ns, log2 in (
            (MemoryNumber.ANSWERED, _ANSWERED_NS, 60 * _SECOND, ANSWERED_LOG2),
            (MemoryNumber.FRAGMENTS, _FRAGMENTS_NS, _SECOND, FRAGMENTS_LOG2),
        ):
            records[number]["age_ns"], records[number]["least_ns"] = age_ns, least_ns
            records[number]["full"] = FLOWS_A_BLOCK << log2

    def set_fleet_ports(self, ports: Iterable[int]) -> None:
        """Set the TCP ports by which the nodes of the fleet speak with this one."""
        listed = list(dict.fromkeys(ports))[:FLEET_PORTS]
        self.control["fleet_ports"] = listed + [0] * (FLEET_PORTS - len(listed))

    def port(self, directory: Path, outside: bool) -> Map:
        """The map that says whether packets of an interface are looked up in the flow memory."""
        pinned = self.adopt_or_create("port", directory / "port")
        try:
            memory = pinned.memory()
        except OSError as error:
            raise frozen(directory / "port", error) from error
        self._mapped_ports[directory] = memory
        record = np.frombuffer(memory, PORT)[0]
        if not outside:
            record["asks"] = Asking.ASKS_NOT
        elif record["asks"] == Asking.ASKS_NOT:
            record["asks"] = Asking.ASKS
        return pinned


def frozen(path: Path, error: OSError) -> SchemaError:
    """The error for a map that a process has made read-only (bpf(2), BPF_MAP_FREEZE)."""
    return SchemaError(
        f"{path} cannot be written ({error.strerror}): it was frozen. `xdpctl down` removes it "
        "(traffic is not filtered until the next start; rules are kept)."
    )
