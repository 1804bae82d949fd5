# SPDX-License-Identifier: GPL-2.0-or-later
"""One entry of a list: an address, a prefix, or a range of IPv4 addresses."""

import re
from collections.abc import Callable, Iterator
from io import BytesIO

from xdpctl.base.net.prefix import Prefix, parse_address, parse_prefix
from xdpctl.errors import RuleError

# Known names of columns and fields, as normalised by `plain_name`. If a record has both an address
# and the network around it, the address is used.
NAMES = (
    "ip",
    "ipaddress",
    "address",
    "cidr",
    "network",
    "prefix",
    "ipprefix",
    "ipv4prefix",
    "ipv6prefix",
    "source",
)
LINE = 1 << 16  # maximum bytes of a line, or of a JSON object
_LONGEST = 100  # characters; the longest entry has 49
_COMMENT = re.compile(r"[\s,;#]|//")
_RANGE = re.compile(r"([0-9]+(?:\.[0-9]+){3})\s*-\s*([0-9]+(?:\.[0-9]+){3}[^\s,;#]*)")


def plain_name(name: str) -> str:
    """The normalised name: `ipAddress`, `ip_address` and `IP Address` become the same."""
    return re.sub(r"[\s_-]", "", name).lower()


Refuse = Callable[[int, str, RuleError], None]


def numbered(data: bytes, refuse: Refuse) -> Iterator[tuple[int, str]]:
    """Number and text of the lines that are neither blank nor comments.

    Tabs around a line are kept, since they are empty cells. It calls `refuse` for lines that
    are too long.
    """
    stream, number = BytesIO(data), 0
    while raw := stream.readline(LINE + 1):
        number += 1
        whole = len(raw) <= LINE or raw.endswith(b"\n")
        text = raw.decode(errors="replace").removeprefix("\ufeff").strip(" \n")
        if text and text[0] != "#" and not text.isspace():
            if whole:
                yield number, text
            else:
                refuse(number, text, too_long("line"))
        if not whole:
            stream.seek(data.find(b"\n", stream.tell()) + 1 or len(data))


def too_long(what: str) -> RuleError:
    """The error for a line or object that is too long."""
    return RuleError(f"the {what} has more than {LINE} bytes", "", "write one entry a line")


def parse_entry(text: str) -> list[Prefix]:
    """The prefixes of an entry, several only if it is a range; RuleError if it is not valid."""
    text = text.strip()[:_LONGEST]
    limits = _RANGE.fullmatch(text) if "-" in text else None
    if limits is None:
        return [parse_prefix(text, "")]
    first, last = (parse_address(limit, "").address for limit in limits.groups())
    if first > last:
        fix = f"write {limits[2]}-{limits[1]}"
        raise RuleError(f"the range {text!r} ends before it begins", "", fix)
    return _cover(int.from_bytes(first, "big"), int.from_bytes(last, "big"))


def parse_line(text: str) -> list[Prefix]:
    """The prefixes of the entry at the start of a line; none for a blank line or a comment."""
    text = text.strip().removeprefix("\ufeff")
    limits = _RANGE.match(text) if "-" in text else None
    entry = limits[0] if limits else _COMMENT.split(text, maxsplit=1)[0]
    return parse_entry(entry) if entry else []


def is_entry(text: str) -> bool:
    """Whether the text can be read as an entry."""
    try:
        return bool(parse_entry(text))
    except RuleError:
        return False


def _cover(first: int, last: int) -> list[Prefix]:
    """The fewest prefixes that cover exactly a range of IPv4 addresses."""
    prefixes = []
    while first <= last:
        bits = min((first & -first or 1 << 32).bit_length(), (last - first + 1).bit_length()) - 1
        prefixes.append(Prefix(first.to_bytes(4, "big"), 32 - bits))
        first += 1 << bits
    return prefixes
