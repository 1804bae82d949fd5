# SPDX-License-Identifier: GPL-2.0-or-later
"""What a node has of its fleet on disk: installed when it is founded or joined, removed when it
leaves.
"""

import shutil

from xdpctl.fleet.authority.bundle import Bundle, MemberPart
from xdpctl.fleet.authority.certificates import Pair
from xdpctl.fleet.authority.daemon import CLIENTS, Daemon
from xdpctl.fleet.authority.etcd import Etcd
from xdpctl.fleet.authority.layout import ETCD_USER, Layout
from xdpctl.fleet.settings import PORT, FleetSettings, host_of


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
        """Install the certificate of etcd, and the list of those that it does not let in."""
        layout = self._layout
        layout.write_pair(layout.engine, "server", pair, ETCD_USER)
        layout.write(layout.engine / "ca.crt", ca, 0o644)
        # the control plane brings it up to date, and etcd reads it at each handshake
        layout.write(layout.engine / "revoked.pem", revocations, 0o644, layout.user)

    def join(self, bundle: Bundle) -> tuple[FleetSettings, int]:
        """Make this host the node of a bundle; its settings, and etcd's process id, 0 for none."""
        layout, process, endpoints = self._layout, 0, bundle.endpoints
        layout.prepare()
        self.node(Pair(bundle.certificate, bundle.key), bundle.ca)
        if part := bundle.member:
            mine = f"{host_of(bundle.address)}:{CLIENTS}"
            others = [each for each in endpoints if each != mine]
            process, endpoints = self._join_engine(bundle, part, others), (mine, *others)
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

    def _join_engine(self, bundle: Bundle, part: MemberPart, others: list[str]) -> int:
        """Start etcd beside the other members, and let it vote; its process id."""
        layout, daemon = self._layout, Daemon(self._layout)
        layout.write(layout.authority / "ca.crt", bundle.ca, 0o644)
        admin = Pair(part.admin_certificate, part.admin_key)
        layout.write_pair(layout.authority, "admin", admin, "root")
        self.member(Pair(part.certificate, part.key), bundle.ca, part.revocations)
        daemon.configure(bundle.name, bundle.address, part.initial_cluster, False, bundle.fleet)
        process = daemon.start()
        Etcd(layout, others).promote(bundle.name)
        return process

    def leave(self, fleet: FleetSettings) -> None:
        """Be no member any more, and remove the certificates; EngineError if it still is one."""
        layout = self._layout
        if layout.configuration.exists():
            engine = Etcd(layout, fleet.endpoints)
            members = engine.members()
            if len(members) > 1 and fleet.name in members:
                engine.ctl("member", "remove", members[fleet.name])
            Daemon(layout).stop()
        for folder in (layout.node, layout.engine):
            shutil.rmtree(folder, ignore_errors=True)
