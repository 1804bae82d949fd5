# SPDX-License-Identifier: GPL-2.0-or-later
"""Trials of rules: a rule lets a few flows pass, to see whether the inside takes part.

The maps are opened each time: a loader that starts with another size makes new maps.
"""

from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xdpctl.abi.arrays import BLOCK, MEMORY, TRIAL, TRIED
from xdpctl.abi.constants import Chosen, MemoryNumber, SlotNumber
from xdpctl.abi.sizes import BLOCK_BITS, BLOCK_WORDS, GENERATION_SHIFT
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.errors import DatapathError

_SECOND = 1_000_000_000
_SHARES = 1 << 32


@dataclass(frozen=True, slots=True)
class Trial:
    """Which flows of a rule's packets pass.

    `number` differs for each trial. A `share` of all flows (0 to 1) passes, at most
    `share_a_second`. In addition, flows that come again after a pause pass, at most
    `again_a_second`.
    """

    number: int
    share: float
    share_a_second: float
    again_a_second: float


@dataclass(frozen=True, slots=True)
class Tried:
    """A flow that passed.

    `source` is a hash of its address, `since_ns` CLOCK_MONOTONIC. `known`: the flow memory has it,
    so the inside takes part.
    """

    trial: int
    hash: int
    source: int
    since_ns: int
    packets: int
    chosen: Chosen
    protocol: int
    known: bool


class Trials(Protocol):
    """The port to the trials; each method raises DatapathError with the kernel's reason."""

    def put(self, trials: Mapping[int, Trial]) -> None:
        """Put these trials in force, by the number of the rule's slot, and end all other trials."""
        ...

    def tried(self) -> list[Tried]:
        """The flows that passed in the last seconds."""
        ...

    def passed(self) -> Mapping[int, int]:
        """The packets that passed, by the number of the slot, since its trial began."""
        ...


class PinnedTrials:
    """The trials whose maps a loader has pinned."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins

    def put(self, trials: Mapping[int, Trial]) -> None:
        with _Opened(self._pins, "trials") as opened:
            records = opened.array("trials", TRIAL)
            wanted = {slot - SlotNumber.SIGNATURES: trial for slot, trial in trials.items()}
            for place in np.flatnonzero(records["number"]).tolist():
                if place not in wanted:
                    records["number"][place] = 0
            for place, trial in wanted.items():
                _write(records[place], trial)

    def tried(self) -> list[Tried]:
        with _Opened(self._pins, "tried_flows", "memories", "flows") as opened:
            flows = opened.array("tried_flows", TRIED)
            flows = flows[flows["trial"] != 0].copy()
            memory = opened.array("memories", MEMORY)[MemoryNumber.FLOWS]
            generation = int(memory["state"]) >> GENERATION_SHIFT
            known = has_either(opened.array("flows", BLOCK), generation, flows["hash"])
        return [
            Tried(
                trial=int(flow["trial"]),
                hash=int(flow["hash"]),
                source=int(flow["source"]),
                since_ns=int(flow["since_ns"]),
                packets=int(flow["packets"]),
                chosen=Chosen(int(flow["chosen"])),
                protocol=int(flow["protocol"]),
                known=bool(takes_part),
            )
            for flow, takes_part in zip(flows, known, strict=True)
        ]

    def passed(self) -> Mapping[int, int]:
        with _Opened(self._pins, "trials") as opened:
            records = opened.array("trials", TRIAL)
            places = np.flatnonzero(records["number"]).tolist()
            return {
                place + SlotNumber.SIGNATURES: int(records["passed"][place]) for place in places
            }


def _write(record: Any, trial: Trial) -> None:
    """A new trial begins with nothing passed; the number is written last."""
    if record["number"] != trial.number:
        record["number"] = 0
        record["passed"] = record["share_ns"] = record["again_ns"] = 0
    record["share"] = min(round(trial.share * _SHARES), _SHARES - 1)
    record["share_cost_ns"] = round(_SECOND / trial.share_a_second)
    record["again_cost_ns"] = round(_SECOND / trial.again_a_second) if trial.again_a_second else 0
    record["number"] = trial.number


class _Opened:
    """Pinned maps as arrays, until the block ends."""

    def __init__(self, pins: Pins, *names: str) -> None:
        self._pins, self._names, self._ends = pins, names, ExitStack()

    def __enter__(self) -> "_Opened":
        try:
            self._maps = {
                name: self._ends.enter_context(closing(maps.open_map(self._pins.map(name))))
                for name in self._names
            }
        except OSError as error:
            self._ends.close()
            raise DatapathError(f"the trials cannot be read: {error.strerror}") from error
        return self

    def __exit__(self, *error: object) -> None:
        self._ends.close()

    def array(self, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
        return np.frombuffer(self._maps[name].memory(), dtype)


def has_either(
    blocks: NDArray[np.void], generation: int, hashes: NDArray[np.uint64]
) -> NDArray[np.bool_]:
    """Which elements a memory has in this generation or in the one before, as in bpf/memory.h."""
    looked_up = blocks[hashes >> np.uint64(BLOCK_BITS) & np.uint64(len(blocks) - 1)]
    either = np.zeros(len(hashes), bool)
    for number in (generation, generation - 1):
        half = number & 1
        has = looked_up["generations"][:, half] == (number & 0xFFFFFFFF)
        for word in range(BLOCK_WORDS):
            bit = (hashes >> np.uint64(5 * word) & np.uint64(31)) + np.uint64(32 * half)
            has &= (looked_up["words"][:, word] >> bit & np.uint64(1)).astype(bool)
        either |= has
    return either
