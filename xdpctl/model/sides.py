# SPDX-License-Identifier: GPL-2.0-or-later
"""On which side of an outside interface a source can be; a packet from the wrong one is spoofed.

After RFC 2827 (BCP 38) for our own networks, and RFC 6890 for special-purpose networks. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from xdpctl.abi.constants import Side
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.problems import Problems
from xdpctl.base.typed import Seconds, Table
from xdpctl.model.protection import CONFIGURED, LOOPBACK, MEMBER, OWN_ADDRESS, Protection

# The special-purpose registries of IPv4 and IPv6, without globally reachable networks.
_SPECIAL = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15"),
    *("198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4"),
    *("64:ff9b:1::/48", "100::/64", "2001::/32", "2001:2::/48", "2001:db8::/32"),
    *("2001:10::/28", "2001:20::/28", "3fff::/20", "5f00::/16", "fc00::/7"),
)
# These are never a valid source of a received packet: loopback, multicast, broadcast.
_NEVER = ("127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::1/128", "ff00::/8")
# A host without an address uses these to get one; the program checks what such packets contain.
_UNSET = ("0.0.0.0/32", "::/128")
_LINK_LOCAL = "fe80::/10"
_LEARN_MAX = 30 * 86400.0


class Outside(Table, frozen=True):
    """`[outside]`.

    `allow` has networks that are outside although the other rules say otherwise.
    `source_validation` is about what goes out with a source whose side is not known (RFC 2827):
    monitor counts it, enforce drops it, after `learning` seconds in which it is only counted.
    """

    allow: tuple[Prefix, ...] = ()
    source_validation: Literal["off", "monitor", "enforce"] = "off"
    learning: Seconds = 3600.0

    def check(self, place: str, problems: Problems) -> None:
        """Refuse a time out of range."""
        if self.learning > _LEARN_MAX:
            problems.add(f"{place}.learning must be at most {_LEARN_MAX / 86400:g} days")


_NOBODYS = tuple(parse_prefix(text) for text in (*_NEVER, *_UNSET))


def is_nobodys(address: Prefix) -> bool:
    """Whether no host can have an address: loopback, multicast, broadcast, the unspecified one."""
    return any(prefix.covers(address) for prefix in _NOBODYS)


def known(
    protection: Protection,
    outside: Outside,
    on_link: Iterable[Prefix],
    logins: Iterable[Prefix],
) -> dict[Prefix, Side]:
    """The side of each prefix for which it is known; for an address, the most specific one counts.

    `on_link` are the networks of the outside interfaces. `logins` are the addresses of logged-in
    users, which are outside even if their network is expected inside.
    """
    sides = _all(_SPECIAL, Side.INSIDE)
    sides[parse_prefix(_LINK_LOCAL)] = Side.OUTSIDE
    sides |= _of(protection.why, (CONFIGURED,), Side.INSIDE)
    sides |= dict.fromkeys((*outside.allow, *on_link), Side.OUTSIDE)
    sides |= {prefix: Side.OUTSIDE for prefix in logins if side_of(sides, prefix) is Side.INSIDE}
    sides |= dict.fromkeys(protection.neighbours, Side.OUTSIDE)
    sides |= _of(protection.why, (MEMBER,), Side.MEMBER)
    sides |= _of(protection.why, (OWN_ADDRESS, LOOPBACK), Side.INSIDE)
    return sides | _all(_NEVER, Side.INSIDE) | _all(_UNSET, Side.OUTSIDE)


def hidden(sides: Mapping[Prefix, Side], logins: Iterable[Prefix]) -> list[Prefix]:
    """Logins that could not be repeated, because their network is expected inside only."""
    return [
        address
        for address in logins
        if side_of(sides, address.widened(address.length - 1)) is Side.INSIDE
    ]


NETWORKS = {4: (24, 32), 6: (48, 64, 128)}  # bits, the widest first


def in_use(sides: Mapping[Prefix, Side], addresses: Iterable[Prefix]) -> set[Prefix]:
    """The networks of those addresses whose side is not known, though packets come in for them.

    Each is as wide as it can be without a known prefix inside.
    """
    near = {
        prefix.widened(length)
        for prefix in sides
        for length in NETWORKS[prefix.family]
        if length <= prefix.length
    }
    networks = set()
    for address in addresses:
        if side_of(sides, address) is Side.UNKNOWN:
            wide = (address.widened(length) for length in NETWORKS[address.family])
            networks.add(next((network for network in wide if network not in near), address))
    return networks


def with_in_use(sides: Mapping[Prefix, Side], networks: Iterable[Prefix]) -> dict[Prefix, Side]:
    """The sides, and those networks in use that still have no other side."""
    unnamed = [network for network in networks if side_of(sides, network) is Side.UNKNOWN]
    return dict.fromkeys(unnamed, Side.IN_USE) | dict(sides)


def uncovered(before: Iterable[Prefix], sides: Mapping[Prefix, Side]) -> list[Prefix]:
    """The prefixes that had a side before, and have none now."""
    return [prefix for prefix in before if side_of(sides, prefix) is Side.UNKNOWN]


def side_of(sides: Mapping[Prefix, Side], address: Prefix) -> Side:
    """The side of the most specific prefix that covers all of an address or a network."""
    covering = (address.widened(length) for length in range(address.length, -1, -1))
    return next((sides[prefix] for prefix in covering if prefix in sides), Side.UNKNOWN)


def _all(texts: Iterable[str], side: Side) -> dict[Prefix, Side]:
    return {parse_prefix(text): side for text in texts}


def _of(why: Mapping[Prefix, str], reasons: Iterable[str], side: Side) -> dict[Prefix, Side]:
    wanted = tuple(reasons)
    return {prefix: side for prefix, reason in why.items() if reason in wanted}
