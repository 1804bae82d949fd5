# SPDX-License-Identifier: GPL-2.0-or-later
"""Helpers for all formats: checked access to untrusted JSON, and parsing of addresses."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.errors import RuleError
from xdpctl.model.event import ID_MAX, Attack, Event, Phase, plain

T = TypeVar("T")
_COMMAND_FIX = "use xdpctl hook, which sends its arguments and its standard input"


def document(body: bytes) -> Any:
    """The decoded JSON; RuleError if it is not JSON."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fix = "send the detector's JSON"
        raise RuleError(f"the body is not JSON: {error}", "", fix) from None
    except RecursionError:
        raise RuleError("the body is nested too deeply", "", "send the detector's JSON") from None


def lines(body: bytes) -> Iterator[bytes]:
    """The lines that are not empty."""
    return (line for line in body.splitlines() if line.strip())


def each(items: Iterable[T], read: Callable[[T], Event | None]) -> list[Event]:
    """The event of each item that has one; errors are handled as in `every`."""
    return every(items, lambda item: [event] if (event := read(item)) else [])


def every(items: Iterable[T], read: Callable[[T], Iterable[Event]]) -> list[Event]:
    """The events of each item.

    An item that cannot be read becomes an ignored event with the reason, so that it does not affect
    the others. RuleError if no item can be read.
    """
    events: list[Event] = []
    first, readable = None, False
    for number, item in enumerate(items, 1):
        try:
            events += read(item)
        except RuleError as error:
            first = first or error
            why = f"unreadable: {error}"
            events.append(Event(phase=Phase.BEGAN, id=f"no. {number}", ignored=why))
        else:
            readable = True
    if first and not readable:
        raise first
    return events


def table(value: Any, field: str) -> dict[str, Any]:
    """The value, if it is an object; else RuleError names the field."""
    if isinstance(value, dict):
        return value
    raise RuleError(f"{field} is {plain(value)[:40]!r}", field, "send an object")


def listed(value: Any, field: str) -> list[Any]:
    """The list, empty for null (as Go writes an empty one); RuleError if it is not a list."""
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise RuleError(f"{field} is {plain(value)[:40]!r}", field, "send a list")


def text(data: dict[str, Any], name: str, default: str | None = None) -> str:
    """A string field; RuleError if it is not a string, too long, or missing without a default."""
    value = data.get(name, default)
    if isinstance(value, str) and len(value) <= ID_MAX:
        return value
    shown = "missing" if value is None else repr(plain(value)[:40])
    raise RuleError(f"{name} is {shown}", name, f"send a text of at most {ID_MAX} characters")


def number(data: dict[str, Any], name: str) -> float:
    """A number field that is not negative, 0 if it is missing; RuleError if it is not valid."""
    value = data.get(name, 0)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e18:
        return float(value)
    raise RuleError(f"{name} is {plain(value)[:40]!r}", name, "send a number")


def address(value: str, field: str) -> Prefix:
    """One address, also as a prefix of full length; RuleError names `field`."""
    prefix = parse_prefix(value, field)
    if not prefix.exact:
        raise RuleError(f"{value[:64]!r} is not a single address", field, "send an address")
    return prefix


def command(body: bytes) -> tuple[list[str], str]:
    """The arguments and the standard input of a script, as `xdpctl hook` sends them."""
    data = table(document(body), "the body")
    arguments = listed(data.get("argv"), "argv")
    if not arguments or not all(isinstance(arg, str) and len(arg) <= ID_MAX for arg in arguments):
        raise RuleError("argv is not a list of texts", "argv", _COMMAND_FIX)
    stdin = data.get("stdin", "")
    if not isinstance(stdin, str):
        raise RuleError("stdin is not a text", "stdin", _COMMAND_FIX)
    return arguments, stdin


def attack_named(name: str) -> Attack:
    """The type of attack for a name from FastNetMon, sFlow-RT or a user; UNKNOWN if not known."""
    lowered = name.lower()
    for part, attack in (
        ("amplif", Attack.AMPLIFICATION),
        ("reflect", Attack.AMPLIFICATION),
        ("syn_ack", Attack.SYN_ACK_FLOOD),
        ("synack", Attack.SYN_ACK_FLOOD),
        ("syn", Attack.SYN_FLOOD),
        ("rst", Attack.RST_FLOOD),
        ("tcp", Attack.TCP_FLOOD),
        ("quic", Attack.QUIC_FLOOD),
        ("frag", Attack.IP_FRAGMENTATION),
        ("icmp", Attack.ICMP_FLOOD),
        ("udp", Attack.UDP_FLOOD),
    ):
        if part in lowered:
            return attack
    return Attack.UNKNOWN
