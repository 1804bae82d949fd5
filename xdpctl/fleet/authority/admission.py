# SPDX-License-Identifier: GPL-2.0-or-later
"""Lets hosts in with tokens: a new node, one in place of a lost one, a member, a witness."""

import time
from collections.abc import Sequence

import msgspec

from xdpctl.errors import ConfigError, EngineError, XdpctlError
from xdpctl.fleet import keys, offer
from xdpctl.fleet.authority import issuance
from xdpctl.fleet.authority.authority import UNKNOWN, Authority
from xdpctl.fleet.authority.bundle import Bundle, Kind, MemberPart, seal
from xdpctl.fleet.authority.certificates import addresses_of
from xdpctl.fleet.authority.checks import check_address, check_groups, check_node_name
from xdpctl.fleet.authority.etcd import PREFIX
from xdpctl.fleet.authority.layout import endpoints
from xdpctl.fleet.node import card_of
from xdpctl.fleet.offer import Offer

_BUNDLE_SECONDS = 7 * 86_400.0  # after which a sealed bundle is removed; it ends earlier
_TAKEN = (
    "there is a node {0} in the fleet, or a token for it: give another name, or first: "
    "xdpctl fleet revoke {0}. For a new host of that name: xdpctl fleet replace {0}"
)


class Admission:
    """Makes tokens that can be used within `seconds`, on the host with the authority."""

    def __init__(self, authority: Authority, seconds: float) -> None:
        self._authority, self._seconds = authority, seconds

    @property
    def here(self) -> str:
        """The address of this host, which serves what the tokens open."""
        record = self._authority.record()
        return record.members.get(record.holder) or next(iter(record.members.values()))

    @property
    def members(self) -> int:
        """How many members there are, with those that have not joined yet."""
        return len(self._authority.record().members)

    def node(
        self,
        name: str,
        address: str,
        groups: Sequence[str],
        member: bool,
        states: bool,
        via: Sequence[str] = (),
    ) -> str:
        """A token for a new node, which also runs etcd if it is a `member`.

        One behind relays (`via`, their names) does neither that nor publish intents.
        """
        self._check_free(name, address)
        check_groups(groups)
        relays = [self._address_of_relay(relay) for relay in via]
        part = self._member_part(name, address) if member else None
        pair = self._authority.admit(name, address, states, via)
        bundle = msgspec.structs.replace(
            self._bundle(name, address, part),
            groups=tuple(groups),
            certificate=pair.certificate,
            key=pair.key,
        )
        if relays:
            where = tuple(endpoints(relays))
            bundle = msgspec.structs.replace(bundle, endpoints=where, behind_relays=True)
        return self._offered(bundle)

    def _address_of_relay(self, name: str) -> str:
        nodes = self._authority.record().nodes
        if name not in nodes or not nodes[name].relay:
            known = ", ".join(each for each, node in nodes.items() if node.relay)
            raise ConfigError(f"there is no relay {name!r}: give one of {known or '(none)'}")
        return addresses_of(nodes[name].certificate.encode())[0]

    def relay(self, name: str, address: str) -> str:
        """A token for a relay, which passes the engine on to nodes, and has no filter."""
        self._check_free(name, address)
        pair = self._authority.admit(name, address, states=False, relay=True)
        bundle = self._bundle(name, address, None, Kind.RELAY)
        bundle = msgspec.structs.replace(bundle, certificate=pair.certificate, key=pair.key)
        return self._offered(bundle)

    def witness(self, name: str, address: str) -> str:
        """A token for a member of the engine that is no node: it has no filter."""
        self._check_free(name, address)
        part = self._member_part(name, address)
        return self._offered(self._bundle(name, address, part, Kind.WITNESS))

    def promotion(self, name: str) -> str:
        """A token that makes a node of the fleet a member, too, which may publish intents."""
        record = self._authority.check_current()
        if name not in record.nodes:
            raise ConfigError(UNKNOWN.format(name, ", ".join(record.nodes)))
        if name in record.members and name in self._authority.engine().voting():
            raise ConfigError(f"{name} is a member already")
        if record.nodes[name].relay or record.nodes[name].via:
            raise ConfigError(
                f"{name} is a relay, or behind one: let it leave, revoke it, and make a token for "
                "it with --member"
            )
        address = addresses_of(record.nodes[name].certificate.encode())[0]
        part = self._member_part(name, address)
        bundle = self._bundle(name, address, part, Kind.PROMOTION)
        return self._offered(msgspec.structs.replace(bundle, certificate=self._publishing(name)))

    def _publishing(self, name: str) -> bytes:
        """Let a node publish intents; its new certificate, for the same key."""
        authority = self._authority
        record, engine = authority.record(), authority.engine()
        node = record.nodes[name]
        node.states = True
        certificate = issuance.renewed(authority.pair, name, node)
        node.renew(certificate.decode())
        authority.kept.write(record)  # first, so that nobody has one that cannot be revoked
        engine.add_node(PREFIX, name, node)
        engine.put(PREFIX + keys.CERTIFICATES + name, certificate)
        authority.keep(record)
        return certificate

    def replacement(self, name: str, address: str | None) -> str:
        """Revoke a node that is lost, and make a token for a new host in its place.

        The new host has the same name, groups and rights, is a member if the lost one was, and has
        the same address unless another one is given.
        """
        record = self._authority.check_current()
        known = record.nodes.get(name)
        if known is None:
            raise ConfigError(UNKNOWN.format(name, ", ".join(record.nodes)))
        if name == record.holder:
            raise ConfigError(
                f"{name} has the authority: take it over on another member first, xdpctl fleet "
                "adopt FILE, and replace it there"
            )
        where = address or addresses_of(known.certificate.encode())[0]
        check_address(where)
        via = record.relays_of(name)
        if known.via and not via:
            raise ConfigError(
                f"the relays that {name} was behind are revoked: revoke it, and make a token for "
                "it with another --via"
            )
        if known.relay and where != addresses_of(known.certificate.encode())[0]:
            raise ConfigError(
                f"{name} keeps its address, at which nodes use it: leave --address out"
            )
        card = self._authority.engine().get(f"{PREFIX}{keys.said_by(name)[0]}")
        groups, member = card_of(card).groups, name in record.members
        self._authority.revoke(name)
        try:
            if known.relay:
                return self.relay(name, where)
            return self.node(name, where, groups, member, known.states, via)
        except XdpctlError as error:
            more = "".join(f" --group {group}" for group in groups)
            more += "".join(f" --via {relay}" for relay in via)
            more += " --member" if member else " --publish" if known.states else ""
            more += " --relay" if known.relay else ""
            raise ConfigError(
                f"{name} is revoked, but there is no token for its new host yet: {error}. Then: "
                f"xdpctl fleet token {name} --address {where}{more}"
            ) from error

    def _check_free(self, name: str, address: str) -> None:
        check_node_name(name)
        check_address(address)
        record = self._authority.check_current()
        if name in record.nodes or name in record.members:
            raise ConfigError(_TAKEN.format(name))

    def _member_part(self, name: str, address: str) -> MemberPart:
        """Let another host run etcd; return what it needs for that."""
        authority = self._authority
        try:
            cluster = authority.engine().add_member(name, address)
        except EngineError as error:
            if "too many learner" not in str(error):
                raise
            raise ConfigError(
                "another node that is to be a member has not joined yet: let it join, or revoke it"
            ) from None
        record = authority.record()
        record.members[name] = address
        part = issuance.member_part(authority.pair, record, name, cluster)
        authority.keep(record)
        return part

    def _bundle(
        self, name: str, address: str, member: MemberPart | None, kind: Kind = Kind.NODE
    ) -> Bundle:
        authority = self._authority
        return Bundle(
            fleet=authority.record().fleet,
            name=name,
            kind=kind,
            address=address,
            endpoints=tuple(authority.endpoints()),
            prefix=PREFIX,
            ends=time.time() + self._seconds,
            ca=authority.pair.certificate,
            member=member,
        )

    def _offered(self, bundle: Bundle) -> str:
        """Seal a bundle for the joining host, and serve it; the token."""
        layout, (token, sealed) = self._authority.layout, seal(bundle)
        layout.remove_older(layout.joining, _BUNDLE_SECONDS)
        offered = offer.encode(Offer(sealed, bundle.ends, token.proof))
        layout.write(layout.joining / token.id, offered, 0o640, layout.user)
        return str(token)
