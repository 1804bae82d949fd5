# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the pinned maps and programs lie."""

from pathlib import Path


class Pins:
    """The paths under a pin directory on a bpffs; the schema's version is among them."""

    SCHEMA = "v1"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / self.SCHEMA
        self.explain_dir = self.root / "explain"
        self.explain = self.explain_dir / "inside" / "program"
        self.explain_outside = self.explain_dir / "outside" / "program"
        self.ports_dir = self.root / "ports"
        self.lock_dir = self.root / "loader"  # root's alone: no other process may hold its lock

    def map(self, name: str) -> Path:
        """Where the map of this name is pinned."""
        return self.root / name

    def port(self, interface: str) -> Path:
        """A bpffs takes no dots in names, and VLAN interfaces have them."""
        return self.ports_dir / interface.replace("%", "%25").replace(".", "%2e")

    @staticmethod
    def interface(port: Path) -> str:
        """The interface a port's directory belongs to."""
        return port.name.replace("%2e", ".").replace("%25", "%")

    def ports(self) -> list[Path]:
        """The directories of all interfaces, sorted by name."""
        return sorted(self.ports_dir.iterdir()) if self.ports_dir.is_dir() else []
