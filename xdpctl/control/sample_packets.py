# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets by which two filters with the same rules are compared: of rules, people and anybody."""

import os
import random
from collections.abc import Iterable, Iterator
from itertools import chain

from xdpctl.abi.constants import SlotNumber
from xdpctl.base.net import packets
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES
from xdpctl.control.state.state import State
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.match.components import TCP, UDP
from xdpctl.model.rule import Rule

_OF_RULES, _OF_SETS, _OF_MATCHES, _OF_ANYBODY = 1000, 1000, 500, 200  # sources
_ACK = 0x10
_NOWHERE = {4: Prefix(bytes((192, 0, 2, 1)), 32), 6: Prefix(b"\x20\x01\x0d\xb8" + bytes(12), 128)}
_CERTAIN = (Action.DROP, Action.ACCEPT)


def of_state(state: State, people: Iterable[Prefix]) -> Iterator[bytes]:
    """Frames from the sources of rules, of sets and of `people`, and from random addresses."""
    inside = {4: _NOWHERE[4], 6: _NOWHERE[6]}
    inside |= {prefix.family: prefix for prefix in state.protection.own if prefix.exact}
    known = [*people, *list(state.logins), *list(state.protection.why)]
    entries = list(state.image.entries)  # rules may end meanwhile
    listed = random.sample(entries, min(_OF_RULES, len(entries)))
    for source in chain(known, listed, _of_sets(state), _of_anybody()):
        yield from _from(Prefix(source.address, 8 * len(source.address)), inside[source.family])
    certain = [rule for rule in list(state.matches.values()) if _certain(rule)]
    for rule in random.sample(certain, min(_OF_MATCHES, len(certain))):
        yield from _of_match(rule, inside)


def nowhere(family: int) -> Prefix:
    """An address for documentation (RFC 5737, RFC 3849)."""
    return _NOWHERE[family]


def certain(state: State, slots: Iterable[int]) -> bool:
    """Whether nothing but the rules decides, if these slots match: no rate, no chance, no time."""
    rules = [state.match_of(slot) for slot in slots]
    return all(rule is None or _certain(rule) for rule in rules)


def _certain(rule: Rule) -> bool:
    enforced = rule.mode is Mode.ENFORCE and rule.action in _CERTAIN
    return enforced and rule.spare is not Spare.TRIAL


def _from(source: Prefix, to: Prefix) -> Iterator[bytes]:
    yield packets.build(source, to, TCP, 40_000, 443)
    yield packets.build(source, to, TCP, 443, 40_000, tcp_flags=_ACK)
    yield packets.build(source, to, UDP, 53, 40_000)


def _of_sets(state: State) -> Iterator[Prefix]:
    out = {source_set.slot for source_set in list(state.sets.values()) if source_set.out}
    comes_in = [by_family for slot, by_family in list(state.image.sets.items()) if slot not in out]
    sets = [keys for by_family in comes_in for keys in by_family.items()]
    for family, keys in sets:
        many = min(len(keys), max(1, _OF_SETS // len(sets)))
        chosen = sorted(random.sample(range(len(keys)), many))
        yield from FAMILIES[family].prefixes(keys[chosen])


def _of_anybody() -> Iterator[Prefix]:
    for _ in range(_OF_ANYBODY):
        yield Prefix(os.urandom(4), 32)
        yield Prefix(b"\x20" + os.urandom(15), 128)


def _of_match(rule: Rule, inside: dict[int, Prefix]) -> Iterator[bytes]:
    """A frame that has the addresses, protocol and ports of a match."""
    match = rule.match
    for family in (4, 6) if match.family is None else (match.family,):
        source, to = match.source, match.get("destination")
        ends = (source or _NOWHERE[family], to or inside[family])
        exact = [Prefix(end.address, 8 * len(end.address)) for end in ends]
        protocol, ports = _first(match.get("protocol"), UDP), match.get("port")
        source_port = _first(match.get("source_port") or ports, 40_000)
        port = _first(match.get("destination_port"), 443)
        yield packets.build(exact[0], exact[1], protocol, source_port, port)


def _first(ranges: tuple[tuple[int, int], ...] | None, otherwise: int) -> int:
    return ranges[0][0] if ranges else otherwise


def slots_of_rules(state: State) -> Iterator[tuple[Prefix, int]]:
    """The sources of rules with a slot of their own."""
    for source, slot in list(state.image.entries.items()):  # rules may end meanwhile
        if slot >= SlotNumber.FIRST:
            yield source, slot
