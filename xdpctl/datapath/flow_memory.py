# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures of the flow memory and of challenges, and which interfaces look up packets in it.

The maps are opened each time: a loader that starts with another size makes new maps.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.arrays import BLOCK, CHALLENGE_COUNTS, MEMORY, PORT
from xdpctl.abi.constants import Asking, MemoryNumber
from xdpctl.abi.sizes import GENERATION_SHIFT
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.errors import DatapathError

_SAMPLED = 2048  # blocks, from which the share of false passes is estimated
_MAPS = {
    MemoryNumber.FLOWS: "flows",
    MemoryNumber.ANSWERED: "answered",
    MemoryNumber.FRAGMENTS: "fragments",
}
_LOW = (1 << GENERATION_SHIFT) - 1
_HALF = (1 << 32) - 1  # of a word: the bits of one generation


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """A memory as of now.

    `elements` and `earlier` are the numbers of elements in this generation and in the one before.
    `full` is the number for which a generation has room, and `bytes` the memory of both.
    `false_pass` is the estimated share of unknown elements that are taken for known ones, 0 to 1.
    `rotations` counts the generations so far, and `early` those that ended because they were full.
    This generation began at `begun_ns` (CLOCK_MONOTONIC) and lasts `age` seconds, unless it is full
    before. `refused` counts elements beyond the budget of the address that sent them, and
    `refused_of` is the last such address.
    """

    elements: int
    earlier: int
    full: int
    bytes: int
    false_pass: float
    rotations: int
    early: int
    begun_ns: int
    age: float
    refused: int
    refused_of: str

    @property
    def fill(self) -> float:
        """How full this generation is, 0 to 1 or more."""
        return self.elements / self.full if self.full else 0.0


@dataclass(frozen=True, slots=True)
class ChallengeCounts:
    """SYNs and queries that were answered, those that were not, and sources that have proved that
    they exist.
    """

    sent: int = 0
    withheld: int = 0
    right: int = 0


class FlowMemory(Protocol):
    """The port to the memories; each method raises DatapathError with the kernel's reason."""

    def figures(self, number: MemoryNumber = MemoryNumber.FLOWS) -> MemoryFigures: ...

    def challenges(self) -> ChallengeCounts: ...

    def asking(self) -> dict[str, Asking]:
        """Whether packets of each interface are looked up in the flow memory."""
        ...

    def ask(self, interface: str, asking: Asking) -> None:
        """Set whether packets of an interface are looked up."""
        ...


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatapathError(f"the flow memory cannot be read: {error.strerror}") from error


class PinnedFlowMemory:
    """The memories whose maps a loader has pinned."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins

    def figures(self, number: MemoryNumber = MemoryNumber.FLOWS) -> MemoryFigures:
        with _refusals(), closing(maps.open_map(self._pins.map("memories"))) as memories:
            memory = np.frombuffer(memories.memory(), MEMORY)[number]
            with closing(maps.open_map(self._pins.map(_MAPS[number]))) as blocks:
                size = blocks.shape.max_entries * BLOCK.itemsize
                return _figures(memory, np.frombuffer(blocks.memory(), BLOCK), size)

    def challenges(self) -> ChallengeCounts:
        with _refusals(), closing(maps.open_map(self._pins.map("challenge_counts"))) as counts:
            per_cpu = np.frombuffer(counts.get(bytes(4)) or b"", CHALLENGE_COUNTS)
            names = CHALLENGE_COUNTS.names or ()
            return ChallengeCounts(*(int(per_cpu[name].sum()) for name in names))

    def asking(self) -> dict[str, Asking]:
        by_interface = {}
        for directory in self._pins.ports():
            # an interface whose maps are being made has none yet
            with suppress(FileNotFoundError), self._port(directory) as record:
                by_interface[self._pins.interface(directory)] = Asking(int(record["asks"]))
        return by_interface

    def ask(self, interface: str, asking: Asking) -> None:
        with _refusals(), self._port(self._pins.port(interface)) as record:
            record["asks"] = asking

    @contextmanager
    def _port(self, directory: Path) -> Iterator[Any]:
        with closing(maps.open_map(directory / "port")) as port:
            yield np.frombuffer(port.memory(), PORT)[0]


def _figures(memory: Any, blocks: NDArray[np.void], size: int) -> MemoryFigures:
    state = int(memory["state"])
    generation = state >> GENERATION_SHIFT
    current, earlier = (false_pass(blocks, number) for number in (generation, generation - 1))
    return MemoryFigures(
        elements=state & _LOW,
        earlier=int(memory["earlier"]),
        full=int(memory["full"]),
        bytes=size,
        false_pass=1 - (1 - current) * (1 - earlier),
        rotations=generation,
        early=int(memory["early"]),
        begun_ns=int(memory["since_ns"]),
        age=int(memory["age_ns"]) / 1e9,
        refused=int(memory["refused"]),
        refused_of=_address(memory) if memory["refused"] else "",
    )


def _address(memory: Any) -> str:
    size = 4 if memory["refused_family"] == 4 else 16
    return str(ip_address(memory["refused_of"].tobytes()[:size]))


def false_pass(blocks: NDArray[np.void], generation: int) -> float:
    """The chance that all bits of an unknown element are set, from a sample of the blocks.

    A block of an older generation than `generation` counts as empty.
    """
    sampled, half = blocks[:: max(1, len(blocks) // _SAMPLED)], generation & 1
    bits = np.bitwise_count(sampled["words"] >> np.uint64(32 * half) & np.uint64(_HALF))
    chance = np.prod(bits.astype(np.float64) / 32, axis=1)
    valid = sampled["generations"][:, half] == (generation & _LOW)
    return float(np.mean(np.where(valid, chance, 0.0)))
