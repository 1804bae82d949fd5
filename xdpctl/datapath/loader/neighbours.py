# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses that must never be cut off: this host's own, its networks, gateways and resolvers."""

import ipaddress
import subprocess
from collections.abc import Collection
from pathlib import Path
from subprocess import DEVNULL, PIPE

from xdpctl.base.net.prefix import Prefix, exact_address, parse_address, parse_prefix
from xdpctl.datapath.loader.netlink import netlink_socket
from xdpctl.errors import AttachError
from xdpctl.model.protection import GATEWAY, LOOPBACK, OWN_ADDRESS, RESOLVER

_LOOPBACK_NETWORKS = ("127.0.0.0/8", "::1/128")
_ROUTES_BYTES = 4 << 20


def own_addresses() -> set[Prefix]:
    """The addresses of this host, as /32 and /128."""
    with netlink_socket() as netlink:
        texts = {m.get_attr("IFA_LOCAL") or m.get_attr("IFA_ADDRESS") for m in netlink.get_addr()}
    return {parse_address(text, "address") for text in texts if text}


def networks(names: Collection[str]) -> set[Prefix]:
    """The networks in which these interfaces have an address."""
    prefixes: set[Prefix] = set()
    with netlink_socket() as netlink:
        by_index = {
            message["index"]: message.get_attr("IFLA_IFNAME") for message in netlink.get_links()
        }
        for message in netlink.get_addr():
            text = message.get_attr("IFA_ADDRESS")
            if text and by_index.get(message["index"]) in names:
                exact = parse_address(text, "address")
                prefixes.add(exact.widened(message["prefixlen"]))
    return prefixes


def gateways() -> set[Prefix]:
    """The next hops of all routes in all tables, also of ECMP and backup routes.

    A box with a full Internet table has a million routes but few next hops, so only the first
    4 MiB of the listing are read.
    """
    addresses: set[Prefix] = set()
    for family in ("-4", "-6"):
        command = ("ip", family, "route", "show", "table", "all")
        try:
            with subprocess.Popen(  # noqa: S603  # the command is fixed
                command, stdout=PIPE, stderr=DEVNULL, cwd="/"
            ) as listing:
                assert listing.stdout is not None  # noqa: S101  # it is a PIPE
                text = listing.stdout.read(_ROUTES_BYTES).decode(errors="replace")
                listing.kill()
        except OSError as error:
            raise AttachError(f"ip route cannot be run: {error.strerror}") from error
        addresses |= next_hops(text)
    return addresses


def next_hops(listing: str) -> set[Prefix]:
    """Parse the addresses that follow `via` in the output of `ip route`."""
    addresses: set[Prefix] = set()
    for words in map(str.split, listing.splitlines()):
        for place, word in enumerate(words[:-1]):
            if word == "via":
                next_words = words[place + 1 : place + 3]
                text = next_words[-1] if next_words[0] in ("inet", "inet6") else next_words[0]
                if address := exact_address(text):
                    addresses.add(address)
    return addresses


def resolvers(path: Path = Path("/etc/resolv.conf")) -> set[Prefix]:
    """The name servers of resolv.conf(5), without zone ids."""
    addresses: set[Prefix] = set()
    text = path.read_text(errors="replace") if path.exists() else ""
    for words in map(str.split, text.splitlines()):
        if len(words) >= 2 and words[0] == "nameserver":
            address = words[1].split("%")[0]
            try:
                ipaddress.ip_address(address)
            except ValueError:
                continue  # resolvers(3) skips such a line too
            addresses.add(parse_address(address, "nameserver"))
    return addresses


def to_protect() -> dict[Prefix, str]:
    """The prefixes that this host must never block, each with the reason."""
    why = dict.fromkeys(resolvers(), RESOLVER)
    why |= dict.fromkeys(gateways(), GATEWAY)
    why |= dict.fromkeys(own_addresses(), OWN_ADDRESS)
    return why | dict.fromkeys(map(parse_prefix, _LOOPBACK_NETWORKS), LOOPBACK)
