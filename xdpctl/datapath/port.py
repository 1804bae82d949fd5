# SPDX-License-Identifier: GPL-2.0-or-later
"""The port to the datapath: the kernel's maps, or a fake in tests."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from xdpctl.abi.constants import Reason
from xdpctl.abi.explanation import Explanation
from xdpctl.abi.structs import Capture, Hits, Sample
from xdpctl.datapath.flow_memory import FlowMemory
from xdpctl.datapath.heads import Heads, Masks
from xdpctl.datapath.image import Plan
from xdpctl.datapath.matches.table import MatchTable
from xdpctl.datapath.monitor_statistics import MonitorStatistics
from xdpctl.datapath.policers import Policers
from xdpctl.datapath.senders import Forger, Sender
from xdpctl.datapath.served import CountsOf
from xdpctl.datapath.tables.sides import SideTable
from xdpctl.datapath.tables.source import SourceTable
from xdpctl.datapath.trials import Trials
from xdpctl.datapath.validation import ValidationWord


class Datapath(Protocol):
    """The operations on the datapath; each raises DatapathError with the kernel's reason.

    `capacity` is the largest number of rules, each of which has a slot of its own.
    """

    capacity: int
    source: SourceTable
    matches: MatchTable
    sides: SideTable
    validation: ValidationWord

    @property
    def heads(self) -> Heads:
        """The heads of packets that are copied to user space."""
        ...

    @property
    def flows(self) -> FlowMemory:
        """The memories of flows and of answered challenges."""
        ...

    @property
    def trials(self) -> Trials:
        """The trials of rules, and the flows that these let pass."""
        ...

    @property
    def policers(self) -> Policers:
        """The limits of single hosts inside."""
        ...

    def served(self) -> CountsOf:
        """Open the counts of services inside; a loader may replace them later."""
        ...

    def modules(self) -> Mapping[str, int]:
        """The modules that matches may name, with their numbers."""
        ...

    def apply(self, plan: Plan) -> None:
        """Make the plan's writes in order; CapacityError if they do not fit."""
        ...

    def memory(self) -> Mapping[str, int]:
        """The kernel memory of each map, in bytes."""
        ...

    def watch(self, slot: int, mask: int) -> None:
        """Sample packets of a slot: those at which its packet count has no bit of `mask` set.

        SLOT_NONE stops sampling.
        """
        ...

    def samples(self) -> Iterator[Sample]:
        """The available samples, consumed as they are read; only one reader at a time."""
        ...

    def capture(self, masks: Masks, slot: int) -> None:
        """Capture about one packet in mask + 1 of each reason; `no_masks()` stops capturing.

        With a slot other than SLOT_NONE, only packets that this slot decided.
        """
        ...

    def captures(self) -> Iterator[Capture]:
        """The available captures, consumed as they are read; only one reader at a time."""
        ...

    def monitored(self) -> Iterable[int]:
        """The slots for which the kernel keeps monitor statistics."""
        ...

    def begin_statistics(self, slot: int) -> None:
        """Start the monitor statistics of a slot, from zero."""
        ...

    def end_statistics(self, slot: int) -> None:
        """Stop the monitor statistics of a slot, and delete them."""
        ...

    def statistics(self, slot: int) -> MonitorStatistics | None:
        """What the slot would have hit; None if it has no monitor statistics."""
        ...

    def senders(self) -> list[Sender]:
        """Who inside sends to the prefixes of out sets."""
        ...

    def forgers(self) -> list[Forger]:
        """Who inside sends with forged sources."""
        ...

    def lost(self) -> int:
        """The number of captures lost so far because the ring buffer was full."""
        ...

    def hits(self, slots: Iterable[int]) -> list[Hits]:
        """Packets and bytes of each slot, summed over CPUs, in the order given."""
        ...

    def counters(self) -> Mapping[str, Mapping[Reason, Hits]]:
        """Packets and bytes by interface and reason."""
        ...

    def explain(self, frame: bytes, outside: bool = False) -> Explanation:
        """What the loaded program would do with this frame, which is not counted.

        With `outside`, as if the frame came in on an outside interface.
        """
        ...

    def bypass(self) -> bool:
        """Whether the bypass is on, so that every packet passes."""
        ...

    def set_bypass(self, on: bool) -> None:
        """Turn the bypass on (pass every packet) or off, by one map write."""
        ...
