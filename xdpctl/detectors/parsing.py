# SPDX-License-Identifier: GPL-2.0-or-later
"""What the formats share: JSON that may be anything, addresses as each tool writes them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.errors import RuleError
from xdpctl.model.event import ID_MAX, Attack, Event, Phase, plain

# UDP services that answer with more than they are asked, by port
AMPLIFIERS = frozenset(
    (17, 19, 53, 69, 111, 123, 137, 161, 389, 427, 520, 1900, 3283, 3702, 5353, 10001, 11211)
)
T = TypeVar("T")
_COMMAND_FIX = "xdpctl hook sends it so: its arguments and its standard input"


def document(body: bytes) -> Any:
    """RuleError for what is no JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RuleError(f"the body is no JSON: {error}", "", "send the detector's JSON") from None
    except RecursionError:
        raise RuleError("the body is nested too deeply", "", "send the detector's JSON") from None


def lines(body: bytes) -> Iterator[bytes]:
    """Those that are not empty."""
    return (line for line in body.splitlines() if line.strip())


def each(items: Iterable[T], read: Callable[[T], Event | None]) -> list[Event]:
    """The event of each item, if it is one; see `every`."""
    return every(items, lambda item: [event] if (event := read(item)) else [])


def every(items: Iterable[T], read: Callable[[T], Iterable[Event]]) -> list[Event]:
    """The events of each item. An item that cannot be read is ignored, and says why; RuleError if
    none can: one that is odd must not cost those around it.
    """
    found: list[Event] = []
    first, readable = None, False
    for number, item in enumerate(items, 1):
        try:
            found += read(item)
        except RuleError as error:
            first = first or error
            why = f"unreadable: {error}"
            found.append(Event(phase=Phase.BEGAN, id=f"no. {number}", ignored=why))
        else:
            readable = True
    if first and not readable:
        raise first
    return found


def table(value: Any, field: str) -> dict[str, Any]:
    """The value, if it is an object; else RuleError names the field."""
    if isinstance(value, dict):
        return value
    raise RuleError(f"{field} is {plain(value)[:40]!r}", field, "send an object")


def listed(value: Any, field: str) -> list[Any]:
    """A list; none of it for null, as Go writes an empty one."""
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise RuleError(f"{field} is {plain(value)[:40]!r}", field, "send a list")


def text(held: dict[str, Any], name: str, default: str | None = None) -> str:
    """A string; RuleError if it is none, or missing without a default."""
    value = held.get(name, default)
    if isinstance(value, str) and len(value) <= ID_MAX:
        return value
    said = "missing" if value is None else repr(plain(value)[:40])
    raise RuleError(f"{name} is {said}", name, f"send a text of at most {ID_MAX} characters")


def number(held: dict[str, Any], name: str) -> float:
    """A number from 0 on, 0 if there is none."""
    value = held.get(name, 0)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e18:
        return float(value)
    raise RuleError(f"{name} is {plain(value)[:40]!r}", name, "send a number")


def address(given: str, field: str) -> Prefix:
    """One address, also as a prefix of full length."""
    found = parse_prefix(given, field)
    if not found.exact:
        raise RuleError(f"{given[:64]!r} is no single address", field, "send an address")
    return found


def command(body: bytes) -> tuple[list[str], str]:
    """What a script was called with: its arguments and its standard input."""
    held = table(document(body), "the body")
    given = listed(held.get("argv"), "argv")
    if not given or not all(isinstance(one, str) and len(one) <= ID_MAX for one in given):
        raise RuleError("argv is no list of texts", "argv", _COMMAND_FIX)
    said = held.get("stdin", "")
    if not isinstance(said, str):
        raise RuleError("stdin is no text", "stdin", _COMMAND_FIX)
    return given, said


def attack_named(name: str) -> Attack:
    """By the names that FastNetMon, sFlow-RT and people have for it."""
    lowered = name.lower()
    for part, attack in (
        ("amplif", Attack.AMPLIFICATION),
        ("reflect", Attack.AMPLIFICATION),
        ("syn", Attack.SYN_FLOOD),
        ("frag", Attack.IP_FRAGMENTATION),
        ("icmp", Attack.ICMP_FLOOD),
        ("udp", Attack.UDP_FLOOD),
    ):
        if part in lowered:
            return attack
    return Attack.UNKNOWN
