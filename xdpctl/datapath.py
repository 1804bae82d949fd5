"""The port to whatever drops packets: the kernel's maps, or a fake in tests."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from xdpctl.plan import Plan
from xdpctl.prefix import Prefix
from xdpctl.wire import Explanation, Hits, Reason


class Datapath(Protocol):
    """Every method raises DatapathError, with the kernel's reason, when it cannot."""

    capacity: int

    def scan(self) -> Iterator[list[tuple[Prefix, int]]]:
        """Every prefix in the tables with its slot number, in batches as they are read."""
        ...

    def slot_of(self, prefix: Prefix) -> int | None:
        """The slot that exactly this prefix leads to."""
        ...

    def slots(self, first: int, count: int) -> list[bytes]:
        """`count` packed slots from number `first` on."""
        ...

    def apply(self, plan: Plan) -> None:
        """Make the plan's marks and writes, in order."""
        ...

    def repaint(self, prefixes: Iterable[Prefix]) -> Iterator[None]:
        """Clear front bits that nothing needs any more; yields between short steps."""
        ...

    def hits(self, slots: Iterable[int]) -> list[Hits]:
        """Packets and bytes per slot, summed over CPUs."""
        ...

    def counters(self) -> Mapping[str, Mapping[Reason, Hits]]:
        """Packets and bytes by reason, per interface."""
        ...

    def explain(self, frame: bytes) -> Explanation:
        """What the loaded program would do with this frame, without counting it."""
        ...

    def bypass(self) -> bool:
        """Whether everything passes."""
        ...

    def set_bypass(self, on: bool) -> None:
        """Pass everything, or filter again: one map write."""
        ...
