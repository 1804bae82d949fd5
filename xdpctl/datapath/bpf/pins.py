# SPDX-License-Identifier: GPL-2.0-or-later
"""The paths of the pinned maps and programs.

All maps and programs of one filter are in a folder, whose name says which layout (see
xdpctl/abi/digest.py) and which sizes its maps have. The link `current` leads to the filter that is
in force. The link `next` leads to a filter with other maps that is to take its place: it is filled
first, see xdpctl/datapath/loader/succession.py.

Every version relies on this of the filter of another version, and on nothing else:

- its XDP programs on interfaces are named `xdpctl` and `outside`, and all of them use the map
  `slots`; its program at TC egress uses the map `memories`,
- its other files, and `ports/INTERFACE/port`, are maps; `ports/INTERFACE/counters` is used by the
  program of that interface alone,
- another tool's program that comes after one of these is the first of its program array `stages`,
  and is pinned at `behind/INTERFACE` beside the filters,
- the map `controls` begins with the bypass switch, four bytes,
- the map `hits` has the packets and bytes of each slot,
- `explain/inside/program` and `explain/outside/program` return whether a packet passes, and the
  slot that decided, see xdpctl/abi/explanation.py,
- a folder whose name begins with `keeps-` says what its other maps mean, see
  xdpctl/datapath/loader/kept_maps.py.
"""

import re
from pathlib import Path
from typing import Self

from xdpctl.abi.digest import digest
from xdpctl.errors import SchemaError

CURRENT, NEXT = "current", "next"
FRESH = "fresh"  # a link for a moment, while it replaces one of the two
_FILTER = re.compile("[0-9a-f]{16}-[0-9a-f]{8}")  # the name of a folder: layout and sizes


class Pins:
    """The paths of one filter below a pin directory: of the one in force, or of the named one."""

    def __init__(self, directory: Path, filter_name: str = CURRENT) -> None:
        self.directory = directory
        self.root = directory / filter_name
        self.explain_dir = self.root / "explain"
        self.ports_dir = self.root / "ports"
        self.modules_dir = self.root / "modules"
        self.egress_dir = self.root / "egress"
        self.lock_dir = directory / "loader"  # only root may open it, so only root can lock it
        self.behind_dir = directory / "behind"  # other tools' programs, of all filters

    @classmethod
    def to_fill(cls, directory: Path) -> Self:
        """The filter that the control plane of this version fills: `next`, or else `current`.

        SchemaError if their maps have other layouts.
        """
        for link in (NEXT, CURRENT):
            pins = cls(directory, link)
            if (name := pins.name) and pins.of_this_version:
                return cls(directory, name)
        pins = cls(directory)
        pins.check()
        return pins

    @classmethod
    def all(cls, directory: Path) -> list[Self]:
        """The filters in a directory: the one in force, and another one during a change."""
        names = (path.name for path in directory.iterdir()) if directory.is_dir() else ()
        return [cls(directory, name) for name in sorted(names) if _FILTER.fullmatch(name)]

    @property
    def name(self) -> str:
        """The name of the filter's folder; "" if there is none."""
        try:
            name = str(self.root.readlink())
        except OSError:  # it is no link, or it is gone meanwhile
            name = self.root.name
        return name if name != CURRENT and (self.directory / name).is_dir() else ""

    @property
    def of_this_version(self) -> bool:
        """Whether the maps have the layout that this version reads and writes."""
        return self.name.startswith(digest())

    def check(self) -> None:
        """SchemaError if there are maps, and they have another layout."""
        if self.name and not self.of_this_version:
            raise SchemaError(
                f"the filter under {self.directory} belongs to another version, with other maps. "
                "It stays in force. Restart the loader of this version: it puts its own filter in "
                "place (systemctl restart xdpctl-loader)"
            )

    def map(self, name: str) -> Path:
        """The path of the map with this name."""
        return self.root / name

    def explain_of(self, outside: bool) -> Path:
        """The path of the explain program for interfaces of this side."""
        return self.explain_dir / ("outside" if outside else "inside") / "program"

    def port(self, interface: str) -> Path:
        """The directory of an interface; dots are escaped, because a bpffs allows none in names."""
        return self.ports_dir / self.escaped(interface)

    @staticmethod
    def escaped(interface: str) -> str:
        return interface.replace("%", "%25").replace(".", "%2e")

    @staticmethod
    def interface(port: Path) -> str:
        """The name of the interface that a directory belongs to."""
        return port.name.replace("%2e", ".").replace("%25", "%")

    def module(self, number: int, name: str) -> Path:
        """The path of the counts of a module, whose file name has its number and its name."""
        return self.modules_dir / f"{number}-{name}"

    def modules(self) -> dict[str, int]:
        """The modules, with their numbers."""
        try:
            parts = [path.name.partition("-") for path in self.modules_dir.iterdir()]
        except FileNotFoundError:  # there has never been one, or the filter is gone
            return {}
        return {name: int(number) for number, _, name in parts if number.isdecimal()}

    def ports(self) -> list[Path]:
        """The directories of all interfaces, sorted by name."""
        return sorted(self.ports_dir.iterdir()) if self.ports_dir.is_dir() else []
