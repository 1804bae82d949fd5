# SPDX-License-Identifier: GPL-2.0-or-later
"""On which side of an outside interface a source can be; a packet from the wrong one is spoofed.

After RFC 2827 (BCP 38) for our own networks, and RFC 6890 for special-purpose networks. Pure.
"""

from collections.abc import Iterable, Mapping

from xdpctl.abi.constants import Side
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.typed import Table
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


class Outside(Table, frozen=True):
    """`[outside]`: `allow` has networks that are outside although the other rules say otherwise."""

    allow: tuple[Prefix, ...] = ()


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
    sides |= {prefix: Side.OUTSIDE for prefix in logins if _side(sides, prefix) is Side.INSIDE}
    sides |= dict.fromkeys(protection.neighbours, Side.OUTSIDE)
    sides |= _of(protection.why, (MEMBER,), Side.MEMBER)
    sides |= _of(protection.why, (OWN_ADDRESS, LOOPBACK), Side.INSIDE)
    return sides | _all(_NEVER, Side.INSIDE) | _all(_UNSET, Side.OUTSIDE)


def hidden(sides: Mapping[Prefix, Side], logins: Iterable[Prefix]) -> list[Prefix]:
    """Logins that could not be repeated, because their network is expected inside only."""
    return [
        address
        for address in logins
        if _side(sides, address.widened(address.length - 1)) is Side.INSIDE
    ]


def _side(sides: Mapping[Prefix, Side], address: Prefix) -> Side:
    covering = (address.widened(length) for length in range(address.length, -1, -1))
    return next((sides[prefix] for prefix in covering if prefix in sides), Side.UNKNOWN)


def _all(texts: Iterable[str], side: Side) -> dict[Prefix, Side]:
    return {parse_prefix(text): side for text in texts}


def _of(why: Mapping[Prefix, str], reasons: Iterable[str], side: Side) -> dict[Prefix, Side]:
    wanted = tuple(reasons)
    return {prefix: side for prefix, reason in why.items() if reason in wanted}
