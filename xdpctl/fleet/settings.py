# SPDX-License-Identifier: GPL-2.0-or-later
"""`[fleet]` of the configuration. Imported by every process, so it imports no gRPC."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, field

from xdpctl.base.net.prefix import Prefix, exact_address
from xdpctl.base.problems import Problems
from xdpctl.base.typed import Table
from xdpctl.model.names import check_name

PORT = 8461
SERVER_NAME = "engine.xdpctl"  # in the certificates of the engine's members alone
RELAY_NAME = "relay.xdpctl"  # in the certificates of relays alone
CLIENTS, PEERS = 2379, 2380  # etcd's ports
QUOTA = 8 << 30  # bytes of the engine's database, on members that xdpctl has set up
_PORT = re.compile(r"[0-9]{1,5}")
CERTIFICATES = Path("/etc/xdpctl/fleet")


class Arm(StrEnum):
    """What this node does with rules on matches that the detectors of other nodes made."""

    OFF = "off"
    MONITOR = "monitor"
    ENFORCE = "enforce"


NAME_MAX = 24  # characters of a node's name: tags of rules have 32, and contain it


_KINDS = ("witness", "relay", "behind_relays")


class FleetSettings(Table, frozen=True):
    """`[fleet]`: this node in its fleet; `xdpctl fleet init` and `join` write it.

    `certificates` is the folder with `ca.crt`, `node.crt` and `node.key`. Without it, the engine is
    reached in clear text, which only tests do. `backups` is the folder for daily backups, on the
    member with the authority. `revoked_list` is the list of revoked certificates
    that etcd on this host reads; None if this host runs no etcd. With `port` 0, other nodes cannot
    ask this one. A `witness` runs etcd alone, and a `relay` passes the engine on to other nodes;
    both have no filter. `behind_relays`: the endpoints are relays.
    """

    name: str = ""
    endpoints: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    arm: Arm = Arm.MONITOR
    certificates: Path = field(default_factory=lambda: CERTIFICATES)
    prefix: str = "xdpctl/"
    revoked_list: Path | None = None
    port: Annotated[int, Meta(ge=0, le=65535)] = PORT
    backups: Path | None = None
    witness: bool = False
    relay: bool = False
    behind_relays: bool = False

    def check(self, place: str, problems: Problems) -> None:
        """Refuse names, endpoints and prefixes that are not valid."""
        if not self.endpoints:
            if self.name:
                problems.add("fleet.endpoints is empty: give the engine's members as HOST:PORT")
            return
        for where, names in (("fleet.name", (self.name,)), ("fleet.groups", self.groups)):
            for name in names:
                with problems.at(where):
                    check_name(name, where)
        if len(self.name) > NAME_MAX:
            problems.add(f"fleet.name has {len(self.name)} characters: give at most {NAME_MAX}")
        for number, endpoint in enumerate(self.endpoints, 1):
            host, _, port = endpoint.rpartition(":")
            if not host or not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
                problems.add(f"fleet.endpoints[{number}] is {endpoint[:80]!r}: give HOST:PORT")
        if not self.prefix.endswith("/") or not self.prefix.isascii():
            problems.add("fleet.prefix must end with / and be ASCII: xdpctl/")

    def __bool__(self) -> bool:
        """Whether this node is in a fleet."""
        return bool(self.endpoints)

    @property
    def ports(self) -> tuple[int, ...]:
        """The TCP ports that nodes of a fleet use among each other: etcd's, and this API's."""
        engine = (int(endpoint.rpartition(":")[2]) for endpoint in self.endpoints)
        return tuple(dict.fromkeys((CLIENTS, PEERS, *((self.port,) if self.port else ()), *engine)))

    @property
    def server_name(self) -> str:
        """The name in the certificates of what answers at the endpoints."""
        return RELAY_NAME if self.behind_relays else SERVER_NAME

    @property
    def filters(self) -> bool:
        """Whether this host is a node, with a filter."""
        return not (self.witness or self.relay)

    def file(self, name: str) -> Path:
        """A file of the certificates' folder."""
        return self.certificates / name

    def as_toml(self) -> dict[str, Any]:
        """The table as it is written into the configuration."""
        return {
            "name": self.name,
            "endpoints": list(self.endpoints),
            "groups": list(self.groups),
            "certificates": str(self.certificates),
            **({"revoked_list": str(self.revoked_list)} if self.revoked_list else {}),
            **{name: True for name in _KINDS if getattr(self, name)},
            "port": self.port,
        }


def address_of(endpoint: str) -> Prefix | None:
    """The address before the port of an endpoint; None if it is a name."""
    return exact_address(endpoint.rpartition(":")[0].strip("[]"))


def host_of(address: str) -> str:
    """An address as it stands before a port."""
    return f"[{address}]" if ":" in address else address
