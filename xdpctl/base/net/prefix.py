# SPDX-License-Identifier: GPL-2.0-or-later
"""IPv4 and IPv6 prefixes: strict parsing, fast comparison, small in memory."""

from ipaddress import ip_address
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple

from xdpctl.base.net.misread import instead
from xdpctl.errors import RuleError

_MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, RFC 4291 section 2.5.5.2


class Prefix(NamedTuple):
    """An address in network order (4 or 16 bytes, host bits zero) and a length in bits."""

    address: bytes
    length: int

    @property
    def family(self) -> int:
        """The IP version: 4 or 6."""
        return 4 if len(self.address) == 4 else 6

    @property
    def exact(self) -> bool:
        """Whether the prefix is a single address: a /32 or /128."""
        return self.length == len(self.address) * 8

    def covers(self, other: "Prefix") -> bool:
        """Whether this prefix contains every address of `other`."""
        if len(self.address) != len(other.address) or self.length > other.length:
            return False
        return other.widened(self.length).address == self.address

    def widened(self, length: int) -> "Prefix":
        """The prefix of a shorter or equal length that covers this one."""
        if length == self.length:
            return self
        bits = len(self.address) * 8
        number = int.from_bytes(self.address, "big") >> (bits - length) << (bits - length)
        return Prefix(number.to_bytes(len(self.address), "big"), length)

    def __str__(self) -> str:
        family = AF_INET if len(self.address) == 4 else AF_INET6
        return f"{inet_ntop(family, self.address)}/{self.length}"


def unmapped(address: bytes) -> bytes:
    """A packed address, as IPv4 if it is IPv4-mapped."""
    return address.removeprefix(_MAPPED) if len(address) == 16 else address


def exact_address(text: str) -> Prefix | None:
    """An address as an exact prefix, an IPv4-mapped one as IPv4; None if it is not an address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if address.version == 6 else None
    packed = (mapped or address).packed
    return Prefix(packed, len(packed) * 8)


def text_of(address: Prefix) -> str:
    """An exact prefix as an address without a length."""
    return str(address).partition("/")[0]


def shown(prefix: Prefix) -> str:
    """A prefix as people write it: an exact one without a length."""
    return text_of(prefix) if prefix.exact else str(prefix)


def parse_address(text: str, field: str) -> Prefix:
    """Parse an address without a length, as a /32 or /128; RuleError names `field`."""
    prefix = parse_prefix(text, field)
    if "/" in text:
        fix = f"write {text.split('/')[0]}"
        raise RuleError(f"{text[:80]!r} is a prefix, not an address", field, fix)
    return prefix


def parse_prefix(text: str, field: str = "match.source") -> Prefix:
    """Parse an address or a prefix: `203.0.113.7`, `203.0.113.0/24`, `2001:db8::/32`.

    RuleError, which names `field` and what to write instead, if the text is invalid.
    """
    bare, slash, tail = text.partition("/")
    try:
        address = inet_pton(AF_INET6 if ":" in bare else AF_INET, bare)
    except (OSError, ValueError):  # ValueError if the text has a NUL
        raise _malformed(text, bare, field) from None
    bits = len(address) * 8
    length = bits
    if slash:
        if not (tail.isascii() and tail.isdigit() and len(tail) <= 3 and int(tail) <= bits):
            raise RuleError(
                f"{tail[:40]!r} is not a prefix length of an IPv{4 if bits == 32 else 6} address",
                field,
                f"write {bare}/N with N from 0 to {bits}",
            )
        length = int(tail)
    if bits == 128 and length >= 96 and address.startswith(_MAPPED):
        native = Prefix(address[12:], length - 96)
        raise RuleError(
            f"{text[:80]!r} is an IPv4-mapped IPv6 address, which is never a packet's source",
            field,
            f"write it as IPv4: {native if slash else inet_ntop(AF_INET, address[12:])}",
        )
    if length == bits:
        return Prefix(address, bits)
    prefix = Prefix(address, bits).widened(length)
    if prefix.address != address:
        raise RuleError(
            f"{text[:80]!r} has host bits set, so it is ambiguous",
            field,
            f"write {prefix} for the network or {bare} for the address",
        )
    return prefix


def _malformed(text: str, bare: str, field: str) -> RuleError:
    if "%" in bare:
        what = f"{text[:80]!r} has a zone id, which packets do not carry"
        return RuleError(what, field, f"write {bare.split('%')[0][:64]} without it")
    return RuleError(f"{text[:80]!r} is not an IPv4 or IPv6 prefix", field, instead(text))


def order(source: Prefix) -> tuple[int, bytes, int]:
    """The sort key for lists of rules: IPv4 first, by address, wider before narrower."""
    return len(source.address), source.address, source.length
