# SPDX-License-Identifier: GPL-2.0-or-later
"""The authority: founds a fleet, lets nodes in, renews and revokes their certificates."""

import json
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from xdpctl.errors import ConfigError
from xdpctl.fleet import keys
from xdpctl.fleet.authority import certificates
from xdpctl.fleet.authority.bundle import Bundle, MemberPart, seal
from xdpctl.fleet.authority.certificates import Pair, issued
from xdpctl.fleet.authority.daemon import CLIENTS, Daemon, peers_url
from xdpctl.fleet.authority.etcd import Etcd
from xdpctl.fleet.authority.installation import Installation
from xdpctl.fleet.authority.layout import ADMIN, Layout
from xdpctl.fleet.scope import STATES
from xdpctl.fleet.settings import NAME_MAX, PORT, FleetSettings, host_of
from xdpctl.model.rule import check_name

SERVER_NAME = "engine.xdpctl"
PREFIX = "xdpctl/"
_MEMBER_DAYS = 20 * 365  # of a certificate of etcd itself
_RECORD = "fleet.json"
_BUNDLE_SECONDS = 7 * 86_400.0  # after which a sealed bundle is removed; it ends earlier
_TAKEN = "there is a node {} in the fleet: give another name, or revoke it first"
_UNKNOWN = "the authority knows no node {!r}; it has {}"


class NodeRecord(msgspec.Struct):
    """A node that was let in: its certificate (PEM), and whether it may state intents."""

    certificate: str
    states: bool


class Record(msgspec.Struct):
    """What the authority knows: the fleet's id, its nodes, the members' addresses, and the serial
    numbers of certificates that were revoked, by name; `earlier` are those of names that were let
    in again.
    """

    fleet: str
    nodes: dict[str, NodeRecord] = {}
    members: dict[str, str] = {}
    revoked: dict[str, str] = {}
    earlier: list[str] = []


_records = msgspec.json.Decoder(Record)


class Authority:
    """The authority of a fleet, on the node where it was founded."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    @property
    def exists(self) -> bool:
        """Whether this node has the authority."""
        return (self.layout.authority / _RECORD).exists()

    def record(self) -> Record:
        """What the authority knows. ConfigError if this node has none."""
        try:
            return _records.decode(self.layout.read(self.layout.authority / _RECORD))
        except (ConfigError, msgspec.DecodeError):
            raise ConfigError(
                f"there is no authority in {self.layout.authority}: run this on the node where "
                "`xdpctl fleet init` was run, or restore a backup"
            ) from None

    def _keep(self, record: Record) -> None:
        data = msgspec.json.format(msgspec.json.encode(record), indent=1)
        self.layout.write(self.layout.authority / _RECORD, data, 0o600)

    @property
    def pair(self) -> Pair:
        """The authority's own certificate and key."""
        return self.layout.pair(self.layout.authority, "ca")

    def endpoints(self) -> list[str]:
        """The members' addresses, as HOST:PORT."""
        return [f"{host_of(address)}:{CLIENTS}" for address in self.record().members.values()]

    def engine(self) -> Etcd:
        """The engine, as its administrator."""
        return Etcd(self.layout, self.endpoints())

    def only_member(self, name: str, address: str) -> None:
        """Note that the others are no members any more."""
        record = self.record()
        record.members = {name: address}
        self._keep(record)

    def found(self, name: str, address: str, groups: Sequence[str]) -> tuple[FleetSettings, int]:
        """Found a fleet with this node as its first member; its settings, and etcd's process id."""
        _check_name(name)
        layout = self.layout
        layout.prepare()
        if self.exists:
            raise ConfigError(
                f"this node has an authority already, in {layout.authority}: `xdpctl fleet token` "
                "lets nodes in"
            )
        fleet = secrets.token_hex(8)
        pair = certificates.new_authority(f"xdpctl fleet {fleet}")
        layout.write_pair(layout.authority, "ca", pair, "root")
        layout.write_pair(layout.authority, "admin", issued(pair, ADMIN), "root")
        self._keep(Record(fleet, members={name: address}))
        process = self.start_member(name, address)
        self.engine().found(PREFIX, fleet)
        Installation(layout).node(self._admit(name, address, states=True), pair.certificate)
        settings = FleetSettings(
            name=name,
            endpoints=tuple(self.endpoints()),
            groups=tuple(groups),
            certificates=layout.node,
            server_name=SERVER_NAME,
            prefix=PREFIX,
            port=PORT,
        )
        return settings, process

    def start_member(self, name: str, address: str) -> int:
        """Start etcd on this host as the only member, and wait for it; its process id."""
        daemon, record = Daemon(self.layout), self.record()
        pair, ca = self._member_pair(name, address), self.pair.certificate
        Installation(self.layout).member(pair, ca, self._revocations(record))
        daemon.configure(name, address, f"{name}={peers_url(address)}", True, record.fleet)
        process = daemon.start()
        self.engine().wait()
        return process

    def _member_pair(self, name: str, address: str) -> Pair:
        names = [address, SERVER_NAME, "localhost", "127.0.0.1"]
        return issued(self.pair, f"etcd {name}", names, _MEMBER_DAYS * 86_400.0)

    def _admit(self, name: str, address: str, states: bool) -> Pair:
        """Issue a node's certificate, and give it its rights in the engine."""
        record = self.record()
        pair = issued(self.pair, name, [address, name], unit=STATES if states else "")
        self.engine().add_node(PREFIX, name, states)
        record.nodes[name] = NodeRecord(pair.certificate.decode(), states)
        again = record.revoked.pop(name, "")
        if again:  # the name is trusted again, its old certificate is not
            record.earlier.append(again)
        self._keep(record)
        if again:
            self._publish_revoked(record)
        return pair

    def token(
        self,
        name: str,
        address: str,
        groups: Sequence[str],
        member: bool,
        states: bool,
        seconds: float,
    ) -> str:
        """A token with which one node of that name joins within so many seconds."""
        _check_name(name)
        if name in self.record().nodes:
            raise ConfigError(_TAKEN.format(name))
        part = self._let_in_a_member(name, address) if member else None
        pair = self._admit(name, address, states)
        token, sealed = seal(
            Bundle(
                fleet=self.record().fleet,
                name=name,
                groups=tuple(groups),
                address=address,
                endpoints=tuple(self.endpoints()),
                server_name=SERVER_NAME,
                prefix=PREFIX,
                ends=time.time() + seconds,
                ca=self.pair.certificate,
                certificate=pair.certificate,
                key=pair.key,
                member=part,
            )
        )
        self._tidy()
        self.layout.write(self.layout.joining / token.id, sealed, 0o640, self.layout.user)
        return str(token)

    def _tidy(self) -> None:
        """Remove sealed bundles that have ended long ago."""
        for each in self.layout.joining.iterdir():
            if time.time() - each.lstat().st_mtime > _BUNDLE_SECONDS:
                each.unlink(missing_ok=True)

    def _let_in_a_member(self, name: str, address: str) -> MemberPart:
        """Let another host run etcd; what it needs for that."""
        cluster = self.engine().add_member(name, address)
        record = self.record()
        record.members[name] = address
        self._keep(record)
        server = self._member_pair(name, address)
        admin = self.layout.pair(self.layout.authority, "admin")
        return MemberPart(
            certificate=server.certificate,
            key=server.key,
            admin_certificate=admin.certificate,
            admin_key=admin.key,
            initial_cluster=cluster,
            revocations=self._revocations(record),
        )

    def _revocations(self, record: Record) -> bytes:
        serials = [*record.revoked.values(), *record.earlier]
        return certificates.revocations(self.pair, [int(serial) for serial in serials])

    def revoke(self, name: str) -> None:
        """Let a node do nothing any more: neither the engine nor other nodes answer it."""
        record = self.record()
        if name not in record.nodes:
            raise ConfigError(_UNKNOWN.format(name, ", ".join(record.nodes)))
        held = certificates.certificate_of(record.nodes.pop(name).certificate.encode())
        record.revoked[name] = str(held.serial_number)
        record.members.pop(name, None)
        self._keep(record)
        self.engine().remove_node(PREFIX, name)
        self._publish_revoked(record)

    def _publish_revoked(self, record: Record) -> None:
        crl = self._revocations(record)
        value = json.dumps({"names": list(record.revoked), "crl": crl.decode()})
        self.engine().ctl("put", PREFIX + keys.REVOKED, value)
        if (self.layout.engine / "revoked.pem").exists():
            self.layout.write(self.layout.engine / "revoked.pem", crl, 0o644, self.layout.user)

    def renew(self, names: Sequence[str]) -> dict[str, Path]:
        """Issue new certificates for the same keys; nodes take them from the engine by themselves.

        The files are for a node whose certificate has expired already.
        """
        record = self.record()
        written: dict[str, Path] = {}
        for name in names or list(record.nodes):
            if name not in record.nodes:
                raise ConfigError(_UNKNOWN.format(name, ", ".join(record.nodes)))
            new = self._renewed(name, record.nodes[name])
            record.nodes[name].certificate = new.decode()
            written[name] = self.layout.authority / f"{name}.crt"
            self.layout.write(written[name], new, 0o644)
            self.engine().ctl("put", "--", PREFIX + keys.CERTIFICATES + name, new.decode())
        self._keep(record)
        return written

    def _renewed(self, name: str, node: NodeRecord) -> bytes:
        old = node.certificate.encode()
        return issued(
            self.pair,
            name,
            certificates.addresses_of(old),
            key=certificates.public_pem(old),
            unit=STATES if node.states else "",
        ).certificate


def _check_name(name: str) -> None:
    check_name(name, "name")
    if len(name) > NAME_MAX or name == ADMIN:
        raise ConfigError(f"{name!r} cannot be a node's name: give at most {NAME_MAX} characters")
