# SPDX-License-Identifier: GPL-2.0-or-later
"""When a draft would drop an address, and by which entry or rule.

Entries of sources decide, the most specific first. When one ends, the next wider one decides. Where
no entry decides, rules on matches may, in their order. Only `explain` tells what the loaded program
really does with a packet.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum, auto
from itertools import pairwise
from typing import NamedTuple

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.coverage import MatchingEntry, covering
from xdpctl.control.state.draft import Draft
from xdpctl.model.match import bits, ranges
from xdpctl.model.match.components import TCP, TCP_FLAGS
from xdpctl.model.match.match import Match
from xdpctl.model.rule import Rule

NEVER = 1 << 63
_SLACK_NS = 5_000_000_000  # by which an end may differ after a reboot, or on another node
_ACK, _OPENING = TCP_FLAGS["ack"], TCP_FLAGS["syn"] | TCP_FLAGS["rst"]
_OF_CONNECTIONS = [flags for flags in range(4096) if flags & _ACK and not flags & _OPENING]
_ICMP = ("icmp_type", "icmp_code")
_SURE = frozenset(("source", "protocol", "destination_port"))
Cause = MatchingEntry | Rule


class Does(Enum):
    """What an entry or a rule does with the packets in question."""

    LETS_IN = auto()  # whatever comes after it
    SPARES = auto()  # entries that are wider do not decide, but rules on matches may
    CUTS = auto()
    NOTHING = auto()


class Cut(NamedTuple):
    """A time for which an address is dropped, in CLOCK_MONOTONIC nanoseconds, and by what.

    `kept` is what let the address in until then; None if nothing did.
    """

    start: int
    end: int
    cause: Cause
    kept: Cause | None


def cuts(
    draft: Draft,
    address: Prefix,
    of_entry: Callable[[MatchingEntry], Does],
    of_match: Callable[[Rule], Does],
) -> list[Cut]:
    """All times from now on for which what an address sends, or is sent, is dropped, in order."""
    matches = draft.matches().values()
    rules = [(rule, does) for rule in matches if (does := of_match(rule)) is not Does.NOTHING]
    rules.sort(key=lambda pair: pair[0].order)
    dropped = _dropped(draft.now.ns, _entries(draft, address, False, of_entry), rules)
    if any(source_set.out for source_set in draft.all_sets()):
        dropped += _dropped(draft.now.ns, _entries(draft, address, True, of_entry), [])
    return sorted(dropped, key=lambda cut: cut.start)


def _entries(
    draft: Draft, address: Prefix, out: bool, of_entry: Callable[[MatchingEntry], Does]
) -> list[tuple[MatchingEntry, Does]]:
    """The entries that decide about an address in one direction, and what they do."""
    decide = [entry for entry in covering(draft, address, out) if entry.decides]
    return [(entry, does) for entry in decide if (does := of_entry(entry)) is not Does.NOTHING]


def _dropped(
    now: int,
    entries: Sequence[tuple[MatchingEntry, Does]],
    rules: Sequence[tuple[Rule, Does]],
) -> list[Cut]:
    dropped: list[Cut] = []
    kept: Cause | None = None
    ends = {*(_end(entry) for entry, _ in entries), *(_end(rule) for rule, _ in rules)} - {NEVER}
    for start, end in pairwise(sorted({now, *(at for at in ends if at > now), NEVER})):
        cause, kept_now = _at(start, entries, rules)
        if cause is not None:
            dropped.append(Cut(start, end, cause, kept))
        kept = kept_now
    return dropped


def _at(
    at: int,
    entries: Sequence[tuple[MatchingEntry, Does]],
    rules: Sequence[tuple[Rule, Does]],
) -> tuple[Cause | None, Cause | None]:
    """What drops an address at a time, or what lets it in."""
    kept: Cause | None = None
    entry, does = next((pair for pair in entries if _end(pair[0]) > at), (None, Does.NOTHING))
    if does is Does.CUTS:
        return entry, None
    if does is Does.LETS_IN:
        return None, entry
    if does is Does.SPARES:
        kept = entry
    rule, does = next((pair for pair in rules if _end(pair[0]) > at), (None, Does.NOTHING))
    return (rule, None) if does is Does.CUTS else (None, rule or kept)


def _end(cause: Cause) -> int:
    rule = cause.rule if isinstance(cause, MatchingEntry) else cause
    return (rule.kernel_expires_ns if rule else 0) or NEVER


def uncovered(after: Iterable[Cut], before: Sequence[Cut]) -> Cut | None:
    """The first time of `after` at which `before` has no cut; None if there is none."""
    for cut in after:
        at = cut.start
        for other in before:
            if other.start - _SLACK_NS <= at < other.end:
                at = other.end
        if at < (cut.end if cut.end == NEVER else cut.end - _SLACK_NS):
            return cut._replace(start=at)
    return None


def reaches(match: Match, address: Prefix, port: int | None = None) -> bool:
    """Whether a match may take a packet of a TCP connection from an address; True if in doubt.

    `port` is that of the connection on this side; None: any.
    """
    if match.family not in (None, address.family) or not may_be_tcp(match):
        return False
    ports = match.get("destination_port")
    if port is not None and ports is not None and not ranges.holds(ports, port):
        return False
    if match.source is not None and not match.source.covers(address):
        return False
    return of_connections(match)


def of_connections(match: Match) -> bool:
    """Whether a match may take packets of TCP connections by their flags."""
    flags = match.get("tcp_flags")
    return flags is None or any(bits.holds(flags, value) for value in _OF_CONNECTIONS)


def may_be_tcp(match: Match) -> bool:
    """Whether a match may take TCP packets."""
    protocols = match.get("protocol")
    return (protocols is None or ranges.holds(protocols, TCP)) and not any(map(match.get, _ICMP))


def takes_all(match: Match, address: Prefix, port: int | None = None) -> bool:
    """Whether a match takes every packet of a TCP connection from an address."""
    names = {name for name, _ in match.components}
    if not names <= _SURE or ("destination_port" in names and port is None):
        return False
    return reaches(match, address, port)
