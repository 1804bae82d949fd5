# SPDX-License-Identifier: GPL-2.0-or-later
"""The port to whatever drops packets: the kernel's maps, or a fake in tests."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from xdpctl.abi.explanation import Explanation
from xdpctl.abi.monitor_statistics import MonitorStatistics
from xdpctl.abi.structs import Capture, Hits, Reason, Sample
from xdpctl.datapath.plan import Plan
from xdpctl.datapath.signatures.table import SignatureTable
from xdpctl.datapath.tables.sides import SideTable
from xdpctl.datapath.tables.source import SourceTable


class Datapath(Protocol):
    """Every method raises DatapathError, with the kernel's reason, when it cannot.

    `capacity` is the number of rules, each with a slot of its own.
    """

    capacity: int
    source: SourceTable
    signatures: SignatureTable
    sides: SideTable

    def apply(self, plan: Plan) -> None:
        """Make the plan's writes, in order; CapacityError if they do not fit."""
        ...

    def memory(self) -> Mapping[str, int]:
        """Bytes of kernel memory by map."""
        ...

    def watch(self, slot: int, mask: int) -> None:
        """Sample those packets of a slot whose count has no bit of `mask`; SLOT_NONE: none."""
        ...

    def samples(self) -> Iterator[Sample]:
        """The samples there are now, taken out as they are read; one reader at a time."""
        ...

    def capture(self, reasons: int, slot: int, mask: int) -> None:
        """Capture packets of these reasons (bits), whose count has no bit of `mask`; 0: none.

        With a slot other than SLOT_NONE only what it decided.
        """
        ...

    def captures(self) -> Iterator[Capture]:
        """The captures there are now, taken out as they are read; one reader at a time."""
        ...

    def monitored(self) -> Iterable[int]:
        """The slots that the kernel keeps monitor statistics of."""
        ...

    def begin_statistics(self, slot: int) -> None:
        """Look at what this slot would hit from now on."""
        ...

    def end_statistics(self, slot: int) -> None:
        """Look at it no longer, and forget what was seen."""
        ...

    def statistics(self, slot: int) -> MonitorStatistics | None:
        """What the slot would have hit, None if nobody looked."""
        ...

    def lost(self) -> int:
        """How many captures there was no room for, ever."""
        ...

    def hits(self, slots: Iterable[int]) -> list[Hits]:
        """Packets and bytes per slot, summed over CPUs."""
        ...

    def counters(self) -> Mapping[str, Mapping[Reason, Hits]]:
        """Packets and bytes by reason, per interface."""
        ...

    def explain(self, frame: bytes, outside: bool = False) -> Explanation:
        """What the loaded program would do with this frame, without counting it; `outside`: if
        it came in by an outside interface.
        """
        ...

    def bypass(self) -> bool:
        """Whether everything passes."""
        ...

    def set_bypass(self, on: bool) -> None:
        """Pass everything, or filter again: one map write."""
        ...
