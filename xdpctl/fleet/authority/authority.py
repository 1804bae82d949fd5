# SPDX-License-Identifier: GPL-2.0-or-later
"""The authority: founds a fleet, lets nodes in, renews and revokes their certificates."""

import ipaddress
import json
import secrets
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from xdpctl.errors import ConfigError, EngineError, XdpctlError
from xdpctl.fleet import keys, offer
from xdpctl.fleet.authority import certificates
from xdpctl.fleet.authority.bundle import Bundle, MemberPart, seal
from xdpctl.fleet.authority.certificates import Pair, issued, serial
from xdpctl.fleet.authority.daemon import SERVER_NAME, Daemon, peers_url
from xdpctl.fleet.authority.etcd import Etcd
from xdpctl.fleet.authority.installation import Installation
from xdpctl.fleet.authority.layout import ADMIN, Layout
from xdpctl.fleet.authority.record import NodeRecord, Record
from xdpctl.fleet.intent import STATES
from xdpctl.fleet.offer import Offer
from xdpctl.fleet.settings import CLIENTS, NAME_MAX, PORT, FleetSettings, host_of
from xdpctl.model.names import check_name

PREFIX = "xdpctl/"
# of etcd's own certificate and its administrator's: if they ended, no node could renew its own
_MEMBER_DAYS = 20 * 365
_RECORD = "fleet.json"
_BUNDLE_SECONDS = 7 * 86_400.0  # after which a sealed bundle is removed; it ends earlier
_TAKEN = (
    "there is a node {0} in the fleet, or a token for it: give another name, or first: "
    "xdpctl fleet revoke {0}"
)
_UNKNOWN = "the authority knows no node {!r}; it has {}"


_records = msgspec.json.Decoder(Record)


class Authority:
    """The authority of a fleet, on the node where it was founded."""

    def __init__(self, layout: Layout) -> None:
        self.layout, self._daemon = layout, Daemon(layout)

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
        return endpoints(self.record().members.values())

    def engine(self) -> Etcd:
        """The engine, as its administrator."""
        return Etcd(self.layout, self.endpoints())

    def begin_anew(self, name: str, address: str, later: Record | None = None) -> None:
        """Note that the others are no members any more, and what a `later` record knows."""
        record = self.record()
        record.members = {name: address}
        if later is not None and later.fleet == record.fleet:
            record.add_later(later)
        self._keep(record)

    def publish_revoked(self) -> None:
        """Let all nodes know who is revoked, and let the engine forget those."""
        record, engine = self.record(), self.engine()
        for name in record.revoked:
            engine.remove_node(PREFIX, name)
        self._publish_revoked(record, engine)

    def found(self, name: str, address: str, groups: Sequence[str]) -> tuple[FleetSettings, int]:
        """Found a fleet with this node as its first member; its settings, and etcd's process id."""
        _check_name(name)
        _check_groups(groups)
        check_address(address)
        layout = self.layout
        layout.prepare()
        if self.exists:
            raise ConfigError(
                f"this node has an authority already, in {layout.authority}: `xdpctl fleet token` "
                "lets nodes in"
            )
        if layout.data.exists():
            raise ConfigError(f"this host has an engine already, in {layout.data}: move it away")
        fleet = secrets.token_hex(8)
        pair = certificates.new_authority(f"xdpctl fleet {fleet}")
        layout.write_pair(layout.authority, "ca", pair, "root")
        layout.write_pair(layout.authority, "admin", self._admin_pair(), "root")
        self._keep(Record(fleet, members={name: address}))
        try:
            process = self.start_member(name, address)
            self.engine().found(PREFIX, fleet)
            self.engine().publish_members(PREFIX)
            return self.install_node(name, address, groups), process
        except XdpctlError:
            self._undo_founding()
            raise

    def install_node(self, name: str, address: str, groups: Sequence[str] = ()) -> FleetSettings:
        """Make this host, which is a member, a node with a new certificate; its settings."""
        layout, record = self.layout, self.record()
        if record.revoke(name):  # its key was on another host
            self._keep(record)
        Installation(layout).node(self._admit(name, address, states=True), self.pair.certificate)
        return FleetSettings(
            name=name,
            endpoints=tuple(self.endpoints()),
            groups=tuple(groups),
            certificates=layout.node,
            server_name=SERVER_NAME,
            prefix=PREFIX,
            revoked_list=layout.revoked,
            port=PORT,
        )

    def _undo_founding(self) -> None:
        """Leave nothing of a fleet that could not be founded, so that it can be tried again."""
        self._daemon.end()
        for folder in (self.layout.authority, self.layout.engine):
            shutil.rmtree(folder, ignore_errors=True)

    def start_member(self, name: str, address: str) -> int:
        """Start etcd on this host as the only member, and wait for it; its process id."""
        daemon, record = self._daemon, self.record()
        pair, ca = self._member_pair(name, address), self.pair.certificate
        Installation(self.layout).member(pair, ca, self._revocations(record))
        daemon.configure(name, address, f"{name}={peers_url(address)}", True, record.fleet)
        process = daemon.start()
        self.engine().wait(lambda: daemon.ended)
        return process

    def _member_pair(self, name: str, address: str) -> Pair:
        names = [address, SERVER_NAME, "localhost", "127.0.0.1"]
        return issued(self.pair, f"etcd {name}", names, _MEMBER_DAYS * 86_400.0)

    def _admin_pair(self) -> Pair:
        return issued(self.pair, ADMIN, seconds=_MEMBER_DAYS * 86_400.0)

    def _admit(self, name: str, address: str, states: bool) -> Pair:
        """Issue a node's certificate, and give it its rights in the engine."""
        record = self.record()
        pair = issued(self.pair, name, [address, name], unit=STATES if states else "")
        self.engine().add_node(PREFIX, name, states)
        record.nodes[name] = NodeRecord(pair.certificate.decode(), states)
        again = record.readmit(name)
        self._keep(record)
        if again:
            self._publish_revoked(record, self.engine())
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
        _check_groups(groups)
        check_address(address)
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
        self.layout.remove_older(self.layout.joining, _BUNDLE_SECONDS)
        offered = offer.encode(Offer(sealed, time.time() + seconds, token.proof))
        self.layout.write(self.layout.joining / token.id, offered, 0o640, self.layout.user)
        return str(token)

    def _let_in_a_member(self, name: str, address: str) -> MemberPart:
        """Let another host run etcd; what it needs for that."""
        try:
            cluster = self.engine().add_member(name, address)
        except EngineError as error:
            if "too many learner" not in str(error):
                raise
            raise ConfigError(
                "another node that is to be a member has not joined yet: let it join, or revoke it"
            ) from None
        record = self.record()
        record.members[name] = address
        server, admin = self._member_pair(name, address), self._admin_pair()
        record.engines[name] = [serial(each.certificate) for each in (server, admin)]
        self._keep(record)
        return MemberPart(
            certificate=server.certificate,
            key=server.key,
            admin_certificate=admin.certificate,
            admin_key=admin.key,
            initial_cluster=cluster,
            revocations=self._revocations(record),
        )

    def _revocations(self, record: Record) -> bytes:
        return certificates.revocations(self.pair, record.serials_revoked)

    def revoke(self, name: str) -> None:
        """Let a node do nothing any more: neither the engine nor other nodes answer it.

        Tokens that were not used yet end, too: one may be of that node. If that fails half way, the
        same call again does the rest.
        """
        record = self.record()
        if not record.revoke(name):
            raise ConfigError(_UNKNOWN.format(name, ", ".join(record.nodes)))
        address = record.members.get(name)
        if address and len(record.members) == 1:
            raise ConfigError(
                f"{name} is the only member of the engine: let another node join with --member "
                "first, or restore a backup on another one"
            )
        others = {each: where for each, where in record.members.items() if each != name}
        self._keep(record)
        engine = Etcd(self.layout, endpoints(others.values()))
        engine.remove_node(PREFIX, name)
        self._publish_revoked(record, engine)
        engine.ctl("del", "--prefix", PREFIX + keys.LEADER)  # its duties are anybody's now
        self.layout.remove_older(self.layout.joining, 0.0)
        if address:
            engine.remove_member(address)
            engine.publish_members(PREFIX)
            record.members = others
            self._keep(record)

    def _publish_revoked(self, record: Record, engine: Etcd) -> None:
        crl = self._revocations(record)
        value = json.dumps({"names": list(record.revoked), "crl": crl.decode()})
        engine.ctl("put", PREFIX + keys.REVOKED, value)
        if self.layout.revoked.exists():
            self.layout.rewrite(self.layout.revoked, crl)

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
            record.nodes[name].renew(new.decode())
            self._keep(record)  # before anybody may have it: so that it can be revoked
            written[name] = self.layout.authority / f"{name}.crt"
            self.layout.write(written[name], new, 0o644)
            self.engine().ctl("put", "--", PREFIX + keys.CERTIFICATES + name, new.decode())
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


def endpoints(addresses: Iterable[str]) -> list[str]:
    """Where etcd answers on hosts with these addresses, as HOST:PORT."""
    return [f"{host_of(address)}:{CLIENTS}" for address in addresses]


def check_address(address: str) -> None:
    """ConfigError unless it is an IP address: etcd listens on it."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise ConfigError(
            f"--address {address[:80]!r} is no IP address: give the one at which the other nodes "
            "reach this one"
        ) from None


def _check_groups(groups: Sequence[str]) -> None:
    for group in groups:
        check_name(group, "--group")


def _check_name(name: str) -> None:
    check_name(name, "name")
    if len(name) > NAME_MAX or name == ADMIN:
        raise ConfigError(f"{name!r} cannot be a node's name: give at most {NAME_MAX} characters")
