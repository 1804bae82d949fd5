# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of monitor statistics, and of a set's sampled hits."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from pydantic import BaseModel, Field

from xdpctl.abi.constants import Asking
from xdpctl.base.net.prefix import Prefix
from xdpctl.control.controller import Controller
from xdpctl.datapath.monitor_statistics import MonitorStatistics, Share
from xdpctl.model.match.ranking import Ranked, rank
from xdpctl.model.protection import Protection

_CONNECTIONS = 20


class ShareOut(BaseModel):
    """A value, and its share of the packets."""

    value: str
    share: float = Field(description="Share of the packets, 0 to 1")


class RankedOut(ShareOut):
    """A value of a component, its share of the packets, and the match of packets with it."""

    match: str


class ConnectionOut(BaseModel):
    """One established TCP connection that the rule would have hit."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    packets: int


class StatisticsOut(BaseModel):
    """Statistics since monitor mode began; shares are of a random sample of 128 packets."""

    looked_at: int = Field(
        description="Number of packets; each counts for the last three rules that it matched"
    )
    established: int = Field(description="Packets of established TCP connections of this host")
    known: int = Field(
        description="Packets of known flows, and those of this host's TCP connections"
    )
    flows_asked: bool = Field(
        description="Whether `known` counts forwarded packets, too: all interfaces are outside, "
        "and the flow memory is asked there"
    )
    accepted: int = Field(description="Packets that a wider rule accepts or protects")
    connections: int = Field(description="Number of different established connections, up to 4,096")
    top_connections: list[ConnectionOut]
    sources: int = Field(
        description="Estimated number of different addresses; the standard error is 5 %"
    )
    destinations: int
    top_sources: list[ShareOut]
    top_ports: list[ShareOut] = Field(description="Destination ports, such as udp/53")
    top: dict[str, list[RankedOut]] = Field(
        description="By component, the most frequent values, as a match writes them"
    )
    forwarded: float | None = Field(
        description="Share of the packets that go to other hosts, 0 to 1: whether these belong to "
        "connections is known only with `flows_asked`. Null before the first packet"
    )
    text: str = Field(
        description="Of these packets, how many people send",
        examples=["0 of 239,246 packets belong to known flows"],
    )


def statistics_out(
    controller: Controller, statistics: MonitorStatistics | None
) -> StatisticsOut | None:
    """Monitor statistics for an answer; None if there are none."""
    if statistics is None:
        return None
    asking = controller.datapath.flows.asking().values()
    flows_asked = bool(asking) and all(state is Asking.ASKS for state in asking)
    return StatisticsOut(
        looked_at=statistics.looked,
        established=statistics.established,
        known=statistics.known,
        flows_asked=flows_asked,
        accepted=statistics.accepted,
        connections=len(statistics.connections),
        top_connections=[
            ConnectionOut(**c._asdict()) for c in statistics.connections[:_CONNECTIONS]
        ],
        sources=statistics.sources,
        destinations=statistics.destinations,
        top_sources=_shares(statistics.top_sources),
        top_ports=_shares(statistics.ports),
        top={word: _ranked(values) for word, values in rank(statistics.glimpses).items()},
        forwarded=_forwarded(statistics, controller.state.protection),
        text=_people(statistics, flows_asked),
    )


def _people(statistics: MonitorStatistics, flows_asked: bool) -> str:
    """How many of the packets people send, as far as this host knows."""
    of = f"of {statistics.looked:,} packets belong to"
    if not statistics.looked:
        return "no packet was looked at yet"
    if flows_asked:
        return f"{statistics.known:,} {of} known flows"
    return (
        f"{statistics.established:,} {of} {len(statistics.connections):,} connections of this host"
    )


def _forwarded(statistics: MonitorStatistics, protection: Protection) -> float | None:
    """The share of the sample whose destination is no address of this host, and no multicast."""
    if not statistics.glimpses:
        return None
    others = sum(
        not _is_local(glimpse["destination"], protection) for glimpse in statistics.glimpses
    )
    return others / len(statistics.glimpses)


def _is_local(destination: object, protection: Protection) -> bool:
    if not isinstance(destination, Prefix):
        return False
    address = ip_address(destination.address)
    to_all = address.is_multicast or str(address) == "255.255.255.255"
    return to_all or any(own.covers(destination) for own in protection.own)


def _ranked(values: Iterable[Ranked]) -> list[RankedOut]:
    return [RankedOut(**value._asdict()) for value in values]


def _shares(shares: Iterable[Share]) -> list[Any]:
    return [ShareOut(**share._asdict()) for share in shares]


class SampledOut(BaseModel):
    """Something that was sampled."""

    packets: int = Field(description="Number of packets, estimated: samples times `every`")
    share: float = Field(description="Share of the samples, 0 to 1")


class TopEntry(SampledOut):
    """An entry of the set that was hit."""

    prefix: str


class TopSource(SampledOut):
    """A source whose packets the set hit."""

    source: str


class TopOut(BaseModel):
    """Sampled hits of a set; packets are samples times `every`."""

    seconds: float = Field(description="How long it was sampled")
    every: int = Field(description="One packet in so many was sampled")
    samples: int = Field(description="Number of packets that were sampled")
    entries: list[TopEntry] = Field(description="Entries of the set, most hits first")
    sources: list[TopSource] = Field(description="Sources, most hits first")
