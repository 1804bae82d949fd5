# SPDX-License-Identifier: GPL-2.0-or-later
"""The files that a node has from its fleet: installed when the fleet is founded or the node joins,
removed when the node leaves.
"""

import logging
import shutil

from xdpctl.errors import ConfigError, EngineError
from xdpctl.fleet.authority.bundle import Bundle, MemberPart
from xdpctl.fleet.authority.certificates import Pair
from xdpctl.fleet.authority.daemon import Daemon
from xdpctl.fleet.authority.etcd import Etcd
from xdpctl.fleet.authority.layout import ETCD_USER, Layout
from xdpctl.fleet.endpoints import Endpoints
from xdpctl.fleet.settings import CLIENTS, PORT, FleetSettings, host_of

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

    def member(self, pair: Pair, ca: bytes, revocations: bytes) -> None:
        """Install the certificate of etcd, and the list of revoked certificates."""
        layout = self._layout
        layout.write_pair(layout.engine, "server", pair, ETCD_USER)
        layout.write(layout.engine / "ca.crt", ca, 0o644)
        # the control plane updates the list, and etcd reads it at each handshake
        layout.write(layout.revoked, revocations, 0o644, layout.user)

    def join(self, bundle: Bundle) -> tuple[FleetSettings, int]:
        """Make this host the node of a bundle; its settings, and etcd's process id, 0 for none."""
        layout, process, endpoints = self._layout, 0, bundle.endpoints
        layout.prepare()
        self.node(Pair(bundle.certificate, bundle.key), bundle.ca)
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
            port=PORT,
        )
        return settings, process

    def _join_engine(self, bundle: Bundle, part: MemberPart, others: list[str]) -> int:
        """Start etcd beside the other members, and let it vote; its process id."""
        layout, daemon = self._layout, Daemon(self._layout)
        layout.write(layout.authority / "ca.crt", bundle.ca, 0o644)
        admin = Pair(part.admin_certificate, part.admin_key)
        layout.write_pair(layout.authority, "admin", admin, "root")
        self.member(Pair(part.certificate, part.key), bundle.ca, part.revocations)
        daemon.configure(bundle.name, bundle.address, part.initial_cluster, False, bundle.fleet)
        process = daemon.start()
        engine = Etcd(layout, others)
        engine.promote(bundle.name)
        engine.publish_members(bundle.prefix)
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

    def remove(self) -> None:
        """Stop etcd, and remove the certificates; what the authority has stays."""
        layout = self._layout
        if layout.configuration.exists():
            Daemon(layout).stop()
        for folder in (layout.node, layout.engine):
            shutil.rmtree(folder, ignore_errors=True)
        if not (layout.authority / "ca.key").exists():
            shutil.rmtree(layout.authority, ignore_errors=True)
        layout.prepare()
