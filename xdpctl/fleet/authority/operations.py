# SPDX-License-Identifier: GPL-2.0-or-later
"""What root does with a fleet: found it, let nodes in and out, renew, back up and restore."""

import json
import os
import secrets
import shutil
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from xdpctl.errors import ConfigError
from xdpctl.fleet import keys
from xdpctl.fleet.authority import certificates, etcd
from xdpctl.fleet.authority.bundle import Bundle, MemberPart, seal
from xdpctl.fleet.authority.certificates import Pair, issued
from xdpctl.fleet.authority.etcd import CLIENTS, PEERS, Etcd
from xdpctl.fleet.authority.layout import ADMIN, ETCD_USER, Layout
from xdpctl.fleet.scope import STATES
from xdpctl.fleet.settings import NAME_MAX, PORT, FleetSettings
from xdpctl.model.rule import check_name

SERVER_NAME = "engine.xdpctl"
PREFIX = "xdpctl/"
_MEMBER_DAYS = 20 * 365  # of a certificate of etcd itself
_RECORD = "fleet.json"
_TAKEN = "there is a node {} in the fleet: give another name, or revoke it first"


class NodeRecord(msgspec.Struct):
    """A node that was let in: its certificate (PEM), and whether it may state intents."""

    certificate: str
    states: bool


class Record(msgspec.Struct):
    """What the authority knows: the fleet's id, its nodes, the members' addresses, and the serial
    numbers of certificates that were revoked, by name.
    """

    fleet: str
    nodes: dict[str, NodeRecord] = {}
    members: dict[str, str] = {}
    revoked: dict[str, str] = {}


_records = msgspec.json.Decoder(Record)


class Authority:
    """The authority of a fleet, on the node where it was founded."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

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
        return [f"{_host(address)}:{CLIENTS}" for address in self.record().members.values()]

    def engine(self) -> Etcd:
        """The engine, as its administrator."""
        return Etcd(self.layout, self.endpoints())

    def found(self, name: str, address: str, groups: Sequence[str]) -> tuple[FleetSettings, int]:
        """Found a fleet with this node as its first member; its settings, and etcd's process id."""
        _check_name(name)
        layout = self.layout
        layout.prepare()
        if (layout.authority / _RECORD).exists():
            raise ConfigError(
                f"this node has an authority already, in {layout.authority}: `xdpctl fleet token` "
                "lets nodes in"
            )
        fleet = secrets.token_hex(8)
        pair = certificates.new_authority(f"xdpctl fleet {fleet}")
        layout.write_pair(layout.authority, "ca", pair, "root")
        layout.write_pair(layout.authority, "admin", issued(pair, ADMIN), "root")
        self._keep(Record(fleet, members={name: address}))
        self._install_member(
            self._member_pair(name, address), pair.certificate, self._revocations()
        )
        engine = self.engine()
        engine.configure(name, address, f"{name}=https://{_host(address)}:{PEERS}", True, fleet)
        process = engine.start()
        engine.wait()
        engine.found(PREFIX, fleet)
        node = self._admit(name, address, states=True)
        self._install_node(node, pair.certificate)
        return self._settings(name, tuple(groups)), process

    def _settings(self, name: str, groups: tuple[str, ...]) -> FleetSettings:
        return FleetSettings(
            name=name,
            endpoints=tuple(self.endpoints()),
            groups=groups,
            certificates=self.layout.node,
            server_name=SERVER_NAME,
            prefix=PREFIX,
            port=PORT,
        )

    def _member_pair(self, name: str, address: str) -> Pair:
        names = [address, SERVER_NAME, "localhost", "127.0.0.1"]
        return issued(self.pair, f"etcd {name}", names, _MEMBER_DAYS * 86_400.0)

    def _admit(self, name: str, address: str, states: bool) -> Pair:
        """Issue a node's certificate, and give it its rights in the engine."""
        record = self.record()
        if name in record.nodes:
            raise ConfigError(_TAKEN.format(name))
        pair = issued(self.pair, name, [address, name], unit=STATES if states else "")
        self.engine().add_node(PREFIX, name, states)
        record.nodes[name] = NodeRecord(pair.certificate.decode(), states)
        self._keep(record)
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
        pair, ca = self._admit(name, address, states), self.pair
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
                ca=ca.certificate,
                certificate=pair.certificate,
                key=pair.key,
                member=part,
            )
        )
        self.layout.write(self.layout.joining / token.id, sealed, 0o640, self.layout.user)
        return str(token)

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
            revocations=self._revocations(),
        )

    def join(self, bundle: Bundle) -> tuple[FleetSettings, int]:
        """Make this host the node of a bundle; its settings, and etcd's process id, 0 for none."""
        layout, process = self.layout, 0
        layout.prepare()
        self._install_node(Pair(bundle.certificate, bundle.key), bundle.ca)
        endpoints = bundle.endpoints
        if part := bundle.member:
            layout.write(layout.authority / "ca.crt", bundle.ca, 0o644)
            admin = Pair(part.admin_certificate, part.admin_key)
            layout.write_pair(layout.authority, "admin", admin, "root")
            self._install_member(Pair(part.certificate, part.key), bundle.ca, part.revocations)
            mine = f"{_host(bundle.address)}:{CLIENTS}"
            endpoints = (mine, *(each for each in endpoints if each != mine))
            member = Etcd(layout, [each for each in endpoints if each != mine])
            member.configure(bundle.name, bundle.address, part.initial_cluster, False, bundle.fleet)
            process = member.start()
            member.promote(bundle.name)
        settings = FleetSettings(
            name=bundle.name,
            endpoints=endpoints,
            groups=bundle.groups,
            certificates=layout.node,
            server_name=bundle.server_name,
            prefix=bundle.prefix,
            port=PORT,
        )
        return settings, process

    def _install_node(self, pair: Pair, ca: bytes) -> None:
        layout = self.layout
        layout.write_pair(layout.node, "node", pair, layout.user)
        layout.write(layout.node / "ca.crt", ca, 0o644, layout.user)

    def _install_member(self, pair: Pair, ca: bytes, revocations: bytes) -> None:
        layout = self.layout
        layout.write_pair(layout.engine, "server", pair, ETCD_USER)
        layout.write(layout.engine / "ca.crt", ca, 0o644)
        # the control plane brings it up to date, and etcd reads it at each handshake
        layout.write(layout.engine / "revoked.pem", revocations, 0o644, layout.user)

    def _revocations(self) -> bytes:
        revoked = self.record().revoked.values()
        return certificates.revocations(self.pair, [int(serial) for serial in revoked])

    def revoke(self, name: str) -> None:
        """Let a node do nothing any more: neither the engine nor other nodes answer it."""
        record = self.record()
        nodes, revoked = record.nodes, record.revoked
        if name not in nodes:
            raise ConfigError(f"the authority knows no node {name!r}; it has {', '.join(nodes)}")
        held = certificates.certificate_of(nodes.pop(name).certificate.encode())
        revoked[name] = str(held.serial_number)
        self._keep(record)
        engine = self.engine()
        engine.remove_node(PREFIX, name)
        crl = self._revocations()
        value = json.dumps({"names": list(revoked), "crl": crl.decode()})
        engine.ctl("put", PREFIX + keys.REVOKED, value)
        if (self.layout.engine / "revoked.pem").exists():
            self.layout.write(self.layout.engine / "revoked.pem", crl, 0o644, self.layout.user)

    def renew(self, names: Sequence[str]) -> dict[str, Path]:
        """Issue new certificates for the same keys; nodes take them from the engine by themselves.

        The files are for a node whose certificate has expired already.
        """
        record = self.record()
        nodes = record.nodes
        written: dict[str, Path] = {}
        for name in names or list(nodes):
            if name not in nodes:
                raise ConfigError(
                    f"the authority knows no node {name!r}; it has {', '.join(nodes)}"
                )
            old = nodes[name].certificate.encode()
            states = nodes[name].states
            new = issued(
                self.pair,
                name,
                certificates.addresses_of(old),
                key=certificates.public_pem(old),
                unit=STATES if states else "",
            ).certificate
            nodes[name] = NodeRecord(new.decode(), states)
            written[name] = self.layout.authority / f"{name}.crt"
            self.layout.write(written[name], new, 0o644)
            self.engine().ctl("put", "--", PREFIX + keys.CERTIFICATES + name, new.decode())
        self._keep(record)
        return written

    def backup(self, path: Path) -> int:
        """Write the engine's content and the authority into an archive; its size in bytes."""
        with tempfile.TemporaryDirectory(dir=self.layout.authority) as folder:
            snapshot = Path(folder) / "engine.db"
            Etcd(self.layout, self.endpoints()[:1]).ctl("snapshot", "save", str(snapshot))
            fresh = path.with_name(f".{path.name}.new")
            try:
                fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
                with (
                    os.fdopen(fd, "wb") as file,
                    tarfile.open(fileobj=file, mode="w:gz") as archive,
                ):
                    archive.add(snapshot, "engine.db")
                    for each in sorted(self.layout.authority.iterdir()):
                        if each.is_file():
                            archive.add(each, f"authority/{each.name}")
                fresh.rename(path)
            except OSError as error:
                fresh.unlink(missing_ok=True)
                raise ConfigError(f"{path}: {error.strerror}; nothing was written") from error
        return path.stat().st_size

    def restore(self, path: Path, name: str, address: str) -> int:
        """Make this host the only member of the engine as it was; etcd's process id."""
        layout = self.layout
        layout.prepare()
        with tempfile.TemporaryDirectory(dir=layout.authority) as folder:
            try:
                with tarfile.open(path) as archive:
                    archive.extractall(folder, filter="data")
            except (OSError, tarfile.TarError) as error:
                raise ConfigError(f"{path} is not a backup: {error}") from error
            unpacked = Path(folder)
            if not (unpacked / "engine.db").exists():
                raise ConfigError(f"{path} is not a backup of `xdpctl fleet backup`")
            for each in (unpacked / "authority").iterdir():
                layout.write(layout.authority / each.name, each.read_bytes(), 0o600)
            etcd.restore(unpacked / "engine.db", layout, name, address, secrets.token_hex(4))
        record = self.record()
        record.members = {name: address}
        self._keep(record)
        self._install_member(
            self._member_pair(name, address), self.pair.certificate, self._revocations()
        )
        engine = self.engine()
        engine.configure(
            name, address, f"{name}=https://{_host(address)}:{PEERS}", True, record.fleet
        )
        process = engine.start()
        engine.wait()
        return process

    def recover(self, name: str, address: str) -> int:
        """Let this host's member go on alone, after the others were lost for good."""
        mine = Etcd(self.layout, [f"{_host(address)}:{CLIENTS}"])
        process = mine.start("--force-new-cluster")
        mine.wait()
        if (self.layout.authority / _RECORD).exists():
            record = self.record()
            record.members = {name: address}
            self._keep(record)
        return process

    def leave(self) -> None:
        """Remove this node's certificates, and what it was of the engine."""
        for folder in (self.layout.node, self.layout.engine):
            shutil.rmtree(folder, ignore_errors=True)


def _check_name(name: str) -> None:
    check_name(name, "name")
    if len(name) > NAME_MAX or name == ADMIN:
        raise ConfigError(f"{name!r} cannot be a node's name: give at most {NAME_MAX} characters")


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
