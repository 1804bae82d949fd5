# SPDX-License-Identifier: GPL-2.0-or-later
"""The paths of the pinned maps and programs."""

from pathlib import Path

from xdpctl.abi.digest import digest
from xdpctl.errors import SchemaError

_MARK = "shapes-"


class Pins:
    """The paths below a pin directory on a bpffs; one folder is named after the schema version.

    In it, the name of an empty folder has the digest of the layout of all maps
    (xdpctl/abi/digest.py), since a bpffs takes no files. So no program reads maps of another
    layout.
    """

    SCHEMA = "v1"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / self.SCHEMA
        self.explain_dir = self.root / "explain"
        self.ports_dir = self.root / "ports"
        self.shapes_dir = self.root / f"{_MARK}{digest()}"
        self.lock_dir = self.root / "loader"  # only root may open it, so only root can lock it

    def check(self) -> None:
        """SchemaError if a version with another layout of the maps has made the pinned maps."""
        if not self.root.is_dir() or self.shapes_dir.is_dir():
            return
        if not self.map("slots").exists() and not self._marks():
            return  # nothing was made yet
        raise SchemaError(
            f"the maps under {self.root} were made by a version with other shapes, and nothing was "
            "changed. What filters now goes on. `xdpctl down` removes it (traffic is not filtered "
            "until the next start; rules are kept)."
        )

    def _marks(self) -> list[Path]:
        return [path for path in self.root.iterdir() if path.name.startswith(_MARK)]

    def map(self, name: str) -> Path:
        """The path of the map with this name."""
        return self.root / name

    def explain_of(self, outside: bool) -> Path:
        """The path of the explain program for interfaces of this side."""
        return self.explain_dir / ("outside" if outside else "inside") / "program"

    def port(self, interface: str) -> Path:
        """The directory of an interface; dots are escaped, because a bpffs allows none in names."""
        return self.ports_dir / interface.replace("%", "%25").replace(".", "%2e")

    @staticmethod
    def interface(port: Path) -> str:
        """The name of the interface that a directory belongs to."""
        return port.name.replace("%2e", ".").replace("%25", "%")

    def ports(self) -> list[Path]:
        """The directories of all interfaces, sorted by name."""
        return sorted(self.ports_dir.iterdir()) if self.ports_dir.is_dir() else []
