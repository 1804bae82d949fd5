# SPDX-License-Identifier: GPL-2.0-or-later
"""The authority's record: the nodes that it let in, their certificates, and the revoked nodes.
Serial numbers are those of X.509, in decimal.
"""

from collections.abc import Container
from itertools import chain

import msgspec
from msgspec import structs

from xdpctl.errors import ConfigError
from xdpctl.fleet.authority.certificates import serial
from xdpctl.fleet.authority.layout import Layout


class NodeRecord(msgspec.Struct):
    """A node that was let in: its certificate (PEM), whether it may publish intents, and the
    serial numbers of earlier certificates, which may still be valid. `via` has the relays that a
    node is behind; a `relay` is no node.
    """

    certificate: str
    states: bool = False
    earlier: list[str] = []
    relay: bool = False
    via: tuple[str, ...] = ()

    @property
    def serials(self) -> list[str]:
        """The serial numbers of all its certificates."""
        return [serial(self.certificate.encode()), *self.earlier]

    def renew(self, certificate: str) -> None:
        """Replace the certificate; the serial number of the one before stays known."""
        self.earlier, self.certificate = self.serials, certificate


class Record(msgspec.Struct):
    """What the authority knows: the fleet's id, its nodes, and the members' addresses.

    `holder` is the member that has the authority, and `term` counts the holders. `recipient` is the
    operator's public key, for which the authority's key and backups are encrypted.
    `engines` has the serial numbers of what a member got besides its node's certificate: etcd's
    own, and the administrator's. `revoked` has those of nodes that are trusted no more, by name;
    `earlier` those of names that were let in again.
    """

    fleet: str
    nodes: dict[str, NodeRecord] = {}
    members: dict[str, str] = {}
    engines: dict[str, list[str]] = {}
    revoked: dict[str, list[str]] = {}
    earlier: list[str] = []
    holder: str = ""
    term: int = 0
    recipient: str = ""

    @property
    def serials_revoked(self) -> list[int]:
        """The serial numbers of all certificates that are trusted no more."""
        return list(map(int, chain(*self.revoked.values(), self.earlier)))

    def revoke(self, name: str) -> bool:
        """Revoke a node; False if no node of that name is known or was revoked before.

        The holder of the authority keeps its certificates for the engine.
        """
        node = self.nodes.pop(name, None)
        engine = [] if name == self.holder else self.engines.pop(name, [])
        if node or engine:
            serials = [*(node.serials if node else []), *engine]
            self.revoked[name] = [*self.revoked.get(name, []), *serials]
        return name in self.revoked

    def relays_of(self, name: str) -> list[str]:
        """The relays that a node is behind, without those that were revoked."""
        via = self.nodes[name].via
        return [relay for relay in via if relay in self.nodes and self.nodes[relay].relay]

    def keep_members(self, addresses: Container[str]) -> bool:
        """Forget the members at other addresses, and trust their etcd no more; whether any was."""
        gone = [name for name, address in self.members.items() if address not in addresses]
        for name in gone:
            del self.members[name]
            if name != self.holder:  # whose host needs its own
                self.earlier += self.engines.pop(name, [])
        return bool(gone)

    def readmit(self, name: str) -> bool:
        """Trust a name again, but not its old certificates; False if it was not revoked."""
        again = self.revoked.pop(name, [])
        self.earlier += again
        return bool(again)

    def add_later(self, later: "Record") -> None:
        """Add to this record, from a backup, what a later record of the same fleet knows."""
        self.term = max(self.term, later.term)
        self.recipient = self.recipient or later.recipient
        for name in self.revoked.keys() & later.nodes.keys():  # let in again since
            self.earlier += self.revoked.pop(name)
        for name, serials in later.revoked.items():
            self.nodes.pop(name, None)
            self.revoked[name] = serials
        self.earlier = sorted({*self.earlier, *later.earlier})
        for name, node in later.nodes.items():
            if name not in self.revoked:
                known_serials = self.nodes[name].serials if name in self.nodes else []
                earlier = sorted({*known_serials, *node.earlier})
                self.nodes[name] = structs.replace(node, earlier=earlier)
        for name, serials in later.engines.items():
            self.engines[name] = sorted({*self.engines.get(name, []), *serials})


_records = msgspec.json.Decoder(Record)


class RecordFile:
    """The file of the record, in the authority's folder."""

    def __init__(self, layout: Layout) -> None:
        self._layout, self._path = layout, layout.authority / "fleet.json"

    @property
    def exists(self) -> bool:
        return self._path.exists()

    def read(self) -> Record:
        """What is written. ConfigError if this node has no authority."""
        try:
            return _records.decode(self._layout.read(self._path))
        except (ConfigError, msgspec.DecodeError):
            raise ConfigError(
                f"there is no authority in {self._layout.authority}: run this on the node where "
                "`xdpctl fleet init` was run, or restore a backup"
            ) from None

    def write(self, record: Record) -> None:
        data = msgspec.json.format(msgspec.json.encode(record), indent=1)
        self._layout.write(self._path, data, 0o600)
