# SPDX-License-Identifier: GPL-2.0-or-later
"""The maps that a filter keeps from the one whose place it takes: what traffic has put into them.

The store does not know which flows are known, which sources have answered a challenge, how many
packets an interface had, and which hosts inside are limited. So two filters share such maps if both
mean the same by their contents.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from xdpctl.abi.arrays import CONTROL
from xdpctl.abi.constants import Reason, SlotNumber
from xdpctl.abi.structs import Hits
from xdpctl.datapath.bpf import maps
from xdpctl.datapath.bpf.maps import Map, MapShape
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.datapath.loader.compiler import source_dir

_MARK = "keeps-"
assert CONTROL.fields  # noqa: S101  # it is a struct
_SEEDS = int(CONTROL.fields["seeds"][1])  # offset in the map `controls`
_SEEDS_BYTES = 24


@dataclass(frozen=True, slots=True)
class Group:
    """Maps that are kept together: those of the filter, and those of each interface.

    `sources` are the C files that decide what their contents mean.
    """

    name: str
    maps: frozenset[str]
    of_ports: frozenset[str]
    sources: tuple[str, ...] = ()
    constants: str = ""

    @property
    def mark(self) -> str:
        """The name of the folder that says what the contents mean."""
        meaning = hashlib.sha256(self.constants.encode())
        for source in self.sources:
            meaning.update((source_dir() / source).read_bytes())
        return f"{_MARK}{self.name}-{meaning.hexdigest()[:16]}"


MEMORIES = Group(
    "memories",
    frozenset(
        (
            *("flows", "proofs", "quic_cells", "memories", "budgets", "fragments"),
            *("answered", "challenges", "challenge_counts", "served", "awaited"),
        )
    ),
    frozenset(),
    (
        *("abi/flows.h", "abi/served.h", "memory.h", "frame.h", "parse.h", "teach.c"),
        *(
            "flows.bpf.h",
            "known.bpf.h",
            "quic.bpf.h",
            "challenge.bpf.h",
            "answered.bpf.h",
            "served.bpf.h",
        ),
    ),
    f"seeds at {_SEEDS}",
)
COUNTS = Group(
    "counts",
    frozenset(),
    frozenset(("counters",)),
    constants=f"{[(r.name, int(r)) for r in Reason]} {Hits.FORMAT} {list(SlotNumber)}",
)
# read from the earlier filter, and copied: its slots have other numbers
HITS = Group("hits", frozenset(), frozenset(), constants=Hits.FORMAT)
POLICED = Group(
    "policed",
    frozenset(("policed",)),
    frozenset(),
    ("abi/outgoing.h", "police.bpf.h", "gcra.h"),
)
GROUPS = (MEMORIES, COUNTS, HITS, POLICED)


class KeptMaps:
    """What a filter keeps of an earlier one; nothing if there is none."""

    def __init__(self, earlier: Pins | None, shapes: dict[str, MapShape]) -> None:
        self._earlier, self._shapes = earlier, shapes
        self._groups = [group for group in GROUPS if earlier and self._means_the_same(group)]

    @property
    def memories(self) -> bool:
        """Whether the flow memory goes on, so that all known flows stay known."""
        return MEMORIES in self._groups

    @property
    def counts(self) -> bool:
        """Whether the counters of interfaces go on."""
        return COUNTS in self._groups

    def _means_the_same(self, group: Group) -> bool:
        earlier = self._earlier
        assert earlier  # noqa: S101  # the caller asks only then
        if not (earlier.root / group.mark).is_dir():
            return False
        paths = [earlier.map(name) for name in group.maps]
        paths += [port / name for port in earlier.ports() for name in group.of_ports]
        return all(not path.exists() or self._fits(path) for path in paths)

    def _fits(self, path: Path) -> bool:
        pinned = maps.open_map(path)
        pinned.close()
        return pinned.shape == self._shapes[path.name]

    def find(self, own: Pins, path: Path) -> Map | None:
        """The earlier filter's map that is kept at `path` of the own filter, or None."""
        if self._earlier is None:
            return None
        theirs = self._earlier.root / path.relative_to(own.root)
        names = {name for group in self._groups for name in group.maps | group.of_ports}
        return maps.open_map(theirs) if path.name in names and theirs.exists() else None

    def seeds(self) -> bytes | None:
        """The seeds by which the kept memories are hashed; None if they are not kept."""
        if not self._earlier or not self.memories:
            return None
        controls = maps.open_map(self._earlier.map("controls"))
        try:
            return bytes(controls.memory()[_SEEDS : _SEEDS + _SEEDS_BYTES])
        finally:
            controls.close()
