# SPDX-License-Identifier: GPL-2.0-or-later
"""The shape of what a rule or set in monitor mode would have hit."""

from typing import Any

from pydantic import BaseModel, Field

from xdpctl.abi.monitor_statistics import MonitorStatistics, Share

_CONNECTIONS = 20


class ShareOut(BaseModel):
    """A value, and its share of the packets."""

    value: str
    share: float = Field(description="Of the packets, 0 to 1")


class ConnectionOut(BaseModel):
    """One established TCP connection that the rule would have hit."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    packets: int


class StatisticsOut(BaseModel):
    """Packets since it is in monitor mode; shares are of a random sample of 128 of them."""

    looked_at: int = Field(description="Packets; of each, the last three rules it met")
    established: int = Field(description="Of them, of established TCP connections of this host")
    accepted: int = Field(description="Of them, that a wider rule accepts or protects")
    connections: int = Field(description="Different ones of these established, up to 4,096")
    top_connections: list[ConnectionOut]
    sources: int = Field(description="Different addresses, estimated; the standard error is 5 %")
    destinations: int
    top_sources: list[ShareOut]
    top_ports: list[ShareOut] = Field(description="Destination ports: udp/53")


def statistics_out(found: MonitorStatistics | None) -> StatisticsOut | None:
    """What a rule in monitor mode saw; None if it has no statistics."""
    if found is None:
        return None
    return StatisticsOut(
        looked_at=found.looked,
        established=found.established,
        accepted=found.accepted,
        connections=len(found.connections),
        top_connections=[ConnectionOut(**c._asdict()) for c in found.connections[:_CONNECTIONS]],
        sources=found.sources,
        destinations=found.destinations,
        top_sources=_shares(found.top_sources),
        top_ports=_shares(found.ports),
    )


def _shares(shares: list[Share]) -> list[Any]:
    return [ShareOut(**share._asdict()) for share in shares]
