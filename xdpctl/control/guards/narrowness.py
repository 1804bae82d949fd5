# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a match, apart from its destination, hardly narrows a drop. Pure."""

from xdpctl.control.guards.cuts import (
    may_be_tcp,
    of_connections,
)
from xdpctl.control.state.draft import Draft
from xdpctl.model.rule import Rule

_MOST_PORTS = 32_768
_PORTS = ("port", "destination_port", "source_port")
_HARDLY_NARROWING = frozenset(("source", "protocol", "packet_length", "ttl", "payload", "module"))


def hardly_narrows(draft: Draft, rule: Rule) -> bool:
    """Whether a match takes most packets of TCP connections, if not all."""
    match, narrowing = rule.match, rule.match.narrowing - _HARDLY_NARROWING
    if not may_be_tcp(match) or not of_connections(match):
        return False
    destination = match.get("destination")
    own = destination is None or any(map(destination.covers, draft.state.protection.own))
    ports = all(
        sum(high - low + 1 for low, high in match.get(name) or ((0, 65_535),)) >= _MOST_PORTS
        for name in _PORTS
    )
    return own and ports and narrowing <= {"tcp_flags", "destination", *_PORTS}
