# SPDX-License-Identifier: GPL-2.0-or-later
"""Summary of the kept packets of an incident: senders and services."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from xdpctl.abi.constants import Reason
from xdpctl.base.net.packet_fields import fields
from xdpctl.base.net.packets import service, source_of
from xdpctl.base.net.pcap_reader import Packet, Skipped, packets
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RecordingError
from xdpctl.incidents.files import Files
from xdpctl.incidents.rates import Row, read_rows
from xdpctl.lists.geo import GeoDatabase

_TOP = 20
_TCP = 6
_CHALLENGED = f"reason={Reason.CHALLENGED.name.lower()}"
RULE_MARK = " rule="  # in the comment of a packet that a rule dropped


class Sender(msgspec.Struct, frozen=True):
    """A source address of the kept packets, and where it is according to the geo databases.

    The address may be forged. `connected` says that it had completed a TCP handshake with this
    host, `inside` that it is in one of our own networks. `port` is the source port of its first TCP
    packet that was kept, 0 if there is none.
    """

    address: str
    packets: int
    connected: bool = False
    inside: bool = False
    country: str = ""
    asn: int = 0
    as_name: str = ""
    port: int = 0


class Evidence(msgspec.Struct, frozen=True):
    """The kept packets, their source addresses and services, with the most frequent ones.

    These are packets that rules dropped. If there are none, they are packets sent to the victim,
    and `received` says so: then no sender is named, since legitimate ones are among them. Senders
    that were only challenged are not named, either: everybody is challenged. `rates` has rows with
    rates.COLUMNS. `damage` says where and why reading the packets failed.
    """

    packets: int = 0
    sources: int = 0
    bytes: int = 0
    top_sources: tuple[Sender, ...] = ()
    top_services: tuple[tuple[str, int], ...] = ()
    rates: tuple[Row, ...] = ()
    damage: str = ""
    received: bool = False

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


def read(
    files: Files, identity: str, places: GeoDatabase | None, ours: Callable[[Prefix], bool]
) -> Evidence:
    """The summary of an incident's kept packets, as far as they can be read.

    `ours` says whether an address is in one of our own networks.
    """
    rates, path = tuple(read_rows(files.rates(identity))), files.packets(identity)
    if not path.is_file():
        return Evidence(rates=rates)
    hit, received = _Tally(), _Tally()
    damage, skipped = "", Skipped()
    try:
        for packet in packets(path, skipped):
            (hit if RULE_MARK in packet.comment else received).add(packet)
    except RecordingError as error:  # the disk was full, or the machine lost power
        damage = str(error)
    if skipped.tail:
        damage = f"{path.name} ends inside a packet"
    noted = files.connected(identity)
    connected = frozenset(noted.read_text().split()) if noted.is_file() else frozenset()
    tally = hit if hit.packets or not received.packets else received
    senders = [
        _sender(source, number, connected, ours(source), places, tally.ports.get(source, 0))
        for source, number in hit.accused.most_common(_TOP)
    ]
    return Evidence(
        tally.packets,
        len(hit.accused),
        tally.bytes,
        tuple(senders),
        tuple(tally.services.most_common(_TOP)),
        rates,
        damage,
        tally is received,
    )


class _Tally:
    """Counts of packets by sender and service."""

    def __init__(self) -> None:
        self.packets = self.bytes = 0
        self.accused: Counter[Prefix] = Counter()
        self.services: Counter[str] = Counter()
        self.ports: dict[Prefix, int] = {}

    def add(self, packet: Packet) -> None:
        self.packets, self.bytes = self.packets + 1, self.bytes + packet.length
        source = source_of(packet.frame)
        if source is not None:
            if _CHALLENGED not in packet.comment:
                self.accused[source] += 1
            if source not in self.ports and (port := _tcp_port(packet.frame)):
                self.ports[source] = port
        self.services[service(packet.frame)] += 1


def _sender(
    source: Prefix,
    count: int,
    connected: frozenset[str],
    inside: bool,
    places: GeoDatabase | None,
    port: int,
) -> Sender:
    name, place = str(source).split("/")[0], places.lookup(source) if places else None
    where = (place.country, place.asn, place.as_name) if place else ("", 0, "")
    return Sender(name, count, name in connected, inside, *where, port)


def _tcp_port(frame: bytes) -> int:
    """The source port of a TCP packet; 0 for other packets."""
    values = fields(frame)
    port = values.get("source_port") if values and values.get("protocol") == _TCP else None
    return port if isinstance(port, int) else 0
