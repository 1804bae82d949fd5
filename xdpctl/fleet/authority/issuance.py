# SPDX-License-Identifier: GPL-2.0-or-later
"""The certificates that an authority issues: of nodes, of etcd, and of its administrator."""

from xdpctl.fleet.authority import certificates
from xdpctl.fleet.authority.bundle import MemberPart
from xdpctl.fleet.authority.certificates import Pair, issued, serial
from xdpctl.fleet.authority.layout import ADMIN
from xdpctl.fleet.authority.record import NodeRecord, Record
from xdpctl.fleet.intent import STATES
from xdpctl.fleet.settings import RELAY_NAME, SERVER_NAME

# of etcd's own certificate and its administrator's: if they ended, no node could renew its own
_MEMBER_SECONDS = 20 * 365 * 86_400.0


def member_pair(authority: Pair, name: str, address: str) -> Pair:
    """The certificate and key of an etcd, for both of its ports."""
    names = [address, SERVER_NAME, "localhost", "127.0.0.1"]
    return issued(authority, f"etcd {name}", names, _MEMBER_SECONDS)


def admin_pair(authority: Pair) -> Pair:
    """The certificate and key of the engine's administrator."""
    return issued(authority, ADMIN, seconds=_MEMBER_SECONDS)


def node_pair(authority: Pair, name: str, address: str, states: bool, relay: bool) -> Pair:
    """The certificate and key of a node, which publishes intents or only follows; or a relay's."""
    names = [address, name, *([RELAY_NAME] if relay else [])]
    return issued(authority, name, names, unit=STATES if states else "")


def renewed(authority: Pair, name: str, node: NodeRecord) -> bytes:
    """A new certificate for the same key, name and addresses."""
    old = node.certificate.encode()
    return issued(
        authority,
        name,
        certificates.addresses_of(old),
        key=certificates.public_pem(old),
        unit=STATES if node.states else "",
    ).certificate


def revocations(authority: Pair, record: Record) -> bytes:
    """The list of revoked certificates (RFC 5280, section 5), as PEM."""
    return certificates.revocations(authority, record.serials_revoked)


def member_part(authority: Pair, record: Record, name: str, cluster: str) -> MemberPart:
    """What a joining member needs. Its address is in the record, which gets its serial numbers."""
    server, admin = member_pair(authority, name, record.members[name]), admin_pair(authority)
    serials = [serial(pair.certificate) for pair in (server, admin)]
    record.engines[name] = [*record.engines.get(name, []), *serials]
    return MemberPart(
        certificate=server.certificate,
        key=server.key,
        admin_certificate=admin.certificate,
        admin_key=admin.key,
        initial_cluster=cluster,
        revocations=revocations(authority, record),
    )
