# SPDX-License-Identifier: GPL-2.0-or-later
"""The files that a node has from its fleet: installed when the fleet is founded or the node joins,
removed when the node leaves.
"""

import logging
import shutil
from pathlib import Path

from msgspec import structs

from xdpctl.errors import ConfigError, EngineError, XdpctlError
from xdpctl.fleet.authority import timers, units
from xdpctl.fleet.authority.bundle import Bundle, Kind, MemberPart
from xdpctl.fleet.authority.certificates import Pair
from xdpctl.fleet.authority.daemon import Daemon, address_of
from xdpctl.fleet.authority.etcd import Etcd
from xdpctl.fleet.authority.layout import ETCD_USER, Layout
from xdpctl.fleet.endpoints import Endpoints, spread
from xdpctl.fleet.settings import CLIENTS, PORT, FleetSettings, host_of

_SMALL = {"GOMEMLIMIT": "20MiB", "GOGC": "50"}  # a witness may be a small host
log = logging.getLogger("xdpctl.fleet")


class Installation:
    """This host as a node; its `layout` says where."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def node(self, pair: Pair, ca: bytes) -> None:
        """Install the certificate of the node, which the control plane reads and renews."""
        layout = self._layout
        layout.write_pair(layout.node, "node", pair, layout.user)
        layout.write(layout.node / "ca.crt", ca, 0o644, layout.user)

    def member(self, pair: Pair, ca: bytes, revocations: bytes, user: str = "") -> None:
        """Install the certificate of etcd, and the list of revoked certificates."""
        layout = self._layout
        layout.write_pair(layout.engine, "server", pair, ETCD_USER)
        layout.write(layout.engine / "ca.crt", ca, 0o644)
        # the control plane updates it (on a witness root), and etcd reads it at each handshake
        layout.write(layout.revoked, revocations, 0o644, user or layout.user)

    def join(self, bundle: Bundle) -> tuple[FleetSettings, int]:
        """Make this host what a bundle says; its settings, and etcd's process id, 0 for none.

        A node that becomes a member keeps its own certificate, and a witness has none.
        """
        layout, process, endpoints = self._layout, 0, spread(bundle.name, bundle.endpoints)
        layout.prepare()
        if bundle.kind in (Kind.NODE, Kind.RELAY):
            self.node(Pair(bundle.certificate, bundle.key), bundle.ca)
        elif bundle.kind is Kind.PROMOTION:
            layout.write(layout.node / "node.crt", bundle.certificate, 0o644, layout.user)
        if part := bundle.member:
            mine = f"{host_of(bundle.address)}:{CLIENTS}"
            others = [endpoint for endpoint in endpoints if endpoint != mine]
            process, endpoints = self._join_engine(bundle, part, others), (mine, *others)
        settings = FleetSettings(
            name=bundle.name,
            endpoints=endpoints,
            groups=bundle.groups,
            certificates=layout.node,
            prefix=bundle.prefix,
            revoked_list=layout.revoked if bundle.member else None,
            port=0 if bundle.kind is Kind.RELAY else PORT,
            relay=bundle.kind is Kind.RELAY,
            behind_relays=bundle.behind_relays,
        )
        if bundle.kind is Kind.WITNESS:
            settings = structs.replace(
                settings, certificates=layout.authority, port=0, witness=True
            )
        return settings, process

    def _join_engine(self, bundle: Bundle, part: MemberPart, others: list[str]) -> int:
        """Start etcd beside the other members, and let it vote; its process id.

        After an error nothing of it is left, so that the token can be used again.
        """
        layout, daemon = self._layout, Daemon(self._layout)
        layout.write(layout.authority / "ca.crt", bundle.ca, 0o644)
        admin = Pair(part.admin_certificate, part.admin_key)
        layout.write_pair(layout.authority, "admin", admin, "root")
        witness = bundle.kind is Kind.WITNESS
        pair, lists = Pair(part.certificate, part.key), part.revocations
        self.member(pair, bundle.ca, lists, "root" if witness else "")
        where = bundle.name, bundle.address, part.initial_cluster
        trips = timers.round_trips(map(address_of, others)).values()
        beat, more = timers.heartbeat(max(trips, default=0.0)), _SMALL if witness else {}
        daemon.configure(*where, False, bundle.fleet, more, beat)
        try:
            process = daemon.start(often=witness)
            engine = Etcd(layout, others)
            engine.promote(bundle.name)
            engine.publish_members(bundle.prefix)
        except XdpctlError:
            daemon.end()
            shutil.rmtree(layout.data, ignore_errors=True)
            raise
        return process

    def leave_engine(self, fleet: FleetSettings) -> None:
        """Leave the engine's cluster; EngineError if this host is still a member.

        ConfigError for the only member: the other nodes would lose the fleet.
        """
        layout = self._layout
        if not layout.configuration.exists():
            return
        engine = Etcd(layout, Endpoints(fleet).now)
        members, nodes, voting = engine.members(), engine.nodes(), engine.voting()
        others = [where for name, where in voting.items() if name != fleet.name]
        if len(members) == 1 and set(nodes) - {fleet.name}:
            raise ConfigError(
                f"{fleet.name} is the only member of the engine of a fleet with other nodes: let "
                "one of them join with --member first; or let them leave, and revoke their names"
            )
        if len(members) > 1 and fleet.name in members:
            # ask another member: the one that is removed stops, and may not answer
            remaining = Etcd(layout, others or fleet.endpoints)
            remaining.remove(members[fleet.name])
            try:
                remaining.publish_members(fleet.prefix)
            except EngineError as error:  # nodes learn the members at the next change
                log.warning(
                    "the other nodes do not know yet that this host is no member: %s", error
                )

    def other_endpoints(self, fleet: FleetSettings) -> tuple[str, ...]:
        """Where the other members answer, as this host knows them."""
        layout = self._layout
        mine = Daemon(layout).endpoint()
        return tuple(endpoint for endpoint in Endpoints(fleet).now if endpoint != mine)

    def start_relay(self, config: Path) -> bool:
        """Start this host's relay by its unit; False without systemd."""
        if not units.systemd():
            return False
        text = units.relay(self._layout.user, config.resolve(), self._layout.node)
        units.enable(units.RELAY, {units.RELAY: text})
        return True

    def remove_engine(self) -> None:
        """Stop etcd, and remove its files; what the authority has stays."""
        layout = self._layout
        if layout.configuration.exists():
            Daemon(layout).stop()
        shutil.rmtree(layout.engine, ignore_errors=True)
        if not (layout.authority / "ca.key").exists():
            shutil.rmtree(layout.authority, ignore_errors=True)
        layout.prepare()

    def remove(self) -> None:
        """The same, and remove the certificate of the node; a relay is stopped."""
        units.disable(units.RELAY)
        shutil.rmtree(self._layout.node, ignore_errors=True)
        self.remove_engine()
