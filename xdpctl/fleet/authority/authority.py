# SPDX-License-Identifier: GPL-2.0-or-later
"""The authority: founds a fleet, and admits and revokes its nodes."""

import json
import logging
import secrets
import shutil
from collections.abc import Callable, Iterable, Sequence

from xdpctl.errors import ConfigError, EngineError, XdpctlError
from xdpctl.fleet import keys
from xdpctl.fleet.authority import certificates, custody, issuance
from xdpctl.fleet.authority.certificates import Pair, serial
from xdpctl.fleet.authority.checks import check_address, check_groups, check_node_name
from xdpctl.fleet.authority.daemon import Daemon, peers_url
from xdpctl.fleet.authority.etcd import PREFIX, Etcd
from xdpctl.fleet.authority.installation import Installation
from xdpctl.fleet.authority.layout import Layout, endpoints
from xdpctl.fleet.authority.record import NodeRecord, Record, RecordFile
from xdpctl.fleet.settings import PORT, FleetSettings

log = logging.getLogger("xdpctl.fleet")
UNKNOWN = "the authority knows no node {!r}; it has {}"


class Authority:
    """The authority of a fleet, on the node where it was founded."""

    def __init__(self, layout: Layout) -> None:
        self.layout, self._daemon = layout, Daemon(layout)
        self.kept = RecordFile(layout)

    @property
    def exists(self) -> bool:
        return self.kept.exists

    @property
    def is_current(self) -> bool:
        """Whether no other host has the authority now; EngineError without an answer."""
        try:
            self.check_current()
            return True
        except ConfigError:
            return False

    def record(self) -> Record:
        """What the authority knows. ConfigError if this node has none."""
        return self.kept.read()

    def keep(self, record: Record) -> None:
        """Write the record, here and into the engine; it is published again by the next change."""
        self.kept.write(record)
        try:
            custody.publish(
                Etcd(self.layout, endpoints(record.members.values())), record, self.pair
            )
        except EngineError as error:
            log.warning("the engine does not have the authority's record yet: %s", error)

    def check_current(self) -> Record:
        """The record; ConfigError if another host has the authority now, or EngineError.

        Members that have left the engine since are members no more, and lose their certificates
        for it.
        """
        record, engine = self.record(), self.engine()
        try:
            custody.check_current(engine, record, self.pair.certificate)
        except EngineError as error:
            raise EngineError(
                f"{error}. If another member has taken the authority over, run this there"
            ) from error
        if record.keep_members(engine.addresses()):
            self.keep(record)
            self._publish_revoked(record, engine)
        return record

    @property
    def pair(self) -> Pair:
        return self.layout.pair(self.layout.authority, "ca")

    def endpoints(self) -> list[str]:
        """The members' addresses, as HOST:PORT."""
        return endpoints(self.record().members.values())

    def engine(self) -> Etcd:
        """The engine, as its administrator."""
        return Etcd(self.layout, self.endpoints())

    def begin_anew(
        self, name: str, address: str, later: Record | None = None, same: bool = False
    ) -> None:
        """Record this host as the only member, and add what a `later` record knows.

        Former members' certificates for the engine are revoked; `same`: this host was one, and
        keeps its own.
        """
        record = self.record()
        if later is not None and later.fleet == record.fleet:
            record.add_later(later)
        record.members, record.holder = {name: address}, name
        for former in [each for each in record.engines if not (same and each == name)]:
            record.earlier += record.engines.pop(former)
        record.term += 1  # a copy on another host counts no more
        self._administer(record, name)

    def _administer(self, record: Record, name: str) -> None:
        """Issue this host a certificate of the engine's administrator; the record is written."""
        pair = issuance.admin_pair(self.pair)
        record.engines.setdefault(name, []).append(serial(pair.certificate))
        self.kept.write(record)
        self.layout.write_pair(self.layout.authority, "admin", pair, "root")

    def publish_revoked(self) -> None:
        """Publish which nodes are revoked, and remove these from the engine; add all others."""
        record, engine = self.record(), self.engine()
        known = engine.nodes()
        for name in record.revoked:
            engine.remove_node(PREFIX, name)
        relays_first = sorted(record.nodes.items(), key=lambda item: not item[1].relay)
        for name, node in relays_first:
            if name not in known:
                _add_node(engine, name, node)
            engine.put_behind(name, record.relays_of(name))
        self._publish_revoked(record, engine)
        custody.publish(engine, record, self.pair)

    def found(self, name: str, address: str, groups: Sequence[str]) -> tuple[FleetSettings, int]:
        """Found a fleet with this node as its first member; its settings, and etcd's process id."""
        check_node_name(name)
        check_groups(groups)
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
        record = Record(fleet, members={name: address}, holder=name)
        self._administer(record, name)
        try:
            process = self.start_member(name, address)
            self.engine().found(PREFIX, fleet)
            self.engine().publish_members(PREFIX)
            return self.install_node(name, address, groups), process
        except XdpctlError:  # nothing is left, so that it can be tried again
            self._daemon.end()
            for folder in (layout.authority, layout.engine):
                shutil.rmtree(folder, ignore_errors=True)
            raise

    def install_node(self, name: str, address: str, groups: Sequence[str] = ()) -> FleetSettings:
        """Make this host, which is a member, a node with a new certificate; its settings."""
        layout, record = self.layout, self.record()
        if node := record.nodes.pop(name, None):  # its key was on another host
            record.earlier += node.serials
            self.keep(record)
        Installation(layout).node(self.admit(name, address, states=True), self.pair.certificate)
        return FleetSettings(
            name=name,
            endpoints=tuple(self.endpoints()),
            groups=tuple(groups),
            certificates=layout.node,
            prefix=PREFIX,
            revoked_list=layout.revoked,
            port=PORT,
        )

    def start_member(self, name: str, address: str, first: Callable[[], None] | None = None) -> int:
        """Start etcd on this host as the only member, and wait for it; its process id.

        `first` is called before any node can reach it.
        """
        daemon, record = self._daemon, self.record()
        pair, ca = issuance.member_pair(self.pair, name, address), self.pair.certificate
        record.engines.setdefault(name, []).append(serial(pair.certificate))
        self.kept.write(record)
        Installation(self.layout).member(pair, ca, issuance.revocations(self.pair, record))
        daemon.configure(name, address, f"{name}={peers_url(address)}", True, record.fleet)
        if first is not None:
            daemon.begin(first)
        process = daemon.start()
        self.engine().wait(lambda: daemon.ended)
        return process

    def admit(
        self, name: str, address: str, states: bool, via: Sequence[str] = (), relay: bool = False
    ) -> Pair:
        """Issue the certificate of a node or a relay, and give it its rights in the engine."""
        record, engine = self.record(), self.engine()
        pair = issuance.node_pair(self.pair, name, address, states, relay)
        node = NodeRecord(pair.certificate.decode(), states, relay=relay, via=tuple(via))
        behind = [other for other in record.nodes if relay and name in record.nodes[other].via]
        _add_node(engine, name, node, behind)
        record.nodes[name] = node
        engine.put_behind(name, record.relays_of(name))
        again = record.readmit(name)
        self.keep(record)
        if again:
            self._publish_revoked(record, self.engine())
        return pair

    def revoke(self, name: str) -> None:
        """Revoke a node: neither the engine nor other nodes answer it any more.

        Unused tokens end, too, because one may be for that node. If the call fails half way, a
        second call does the rest.
        """
        before, record = self.record(), self.check_current()
        address = record.members.get(name)
        if name in before.members and name not in (*record.members, *record.nodes):
            return  # a witness that has left, and lost its certificates just now
        if not record.revoke(name):
            raise ConfigError(UNKNOWN.format(name, ", ".join(record.nodes)))
        if address and len(record.members) == 1:
            raise ConfigError(
                f"{name} is the only member of the engine: let another node join with --member "
                "first, or restore a backup on another one"
            )
        others = {member: host for member, host in record.members.items() if member != name}
        self.keep(record)
        engine = Etcd(self.layout, endpoints(others.values()))
        engine.remove_node(PREFIX, name)
        self._publish_revoked(record, engine)
        engine.ctl("del", "--prefix", PREFIX + keys.LEADER)  # any node may take its duties over
        self.layout.remove_older(self.layout.joining, 0.0)
        if address:
            engine.remove_member(address)
            engine.publish_members(PREFIX)
            record.members = others
            self.keep(record)

    def _publish_revoked(self, record: Record, engine: Etcd) -> None:
        crl = issuance.revocations(self.pair, record)
        value = json.dumps({"names": list(record.revoked), "crl": crl.decode()})
        engine.ctl("put", PREFIX + keys.REVOKED, value)
        if self.layout.revoked.exists():
            self.layout.rewrite(self.layout.revoked, crl)


def _add_node(engine: Etcd, name: str, node: NodeRecord, behind: Iterable[str] = ()) -> None:
    """Give a node its rights in the engine, or a relay, which all nodes know then."""
    engine.add_node(PREFIX, name, node, behind)
    if node.relay:
        where = endpoints(certificates.addresses_of(node.certificate.encode())[:1])
        engine.put(PREFIX + keys.said_by_relay(name)[0], where[0].encode())
