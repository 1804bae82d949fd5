# SPDX-License-Identifier: GPL-2.0-or-later
"""Summary of the kept packets of an incident: senders and services."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from xdpctl.base.net.packets import service, source_of
from xdpctl.base.net.pcap_reader import Skipped, packets
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RecordingError
from xdpctl.incidents.files import Files
from xdpctl.incidents.rates import read_rows
from xdpctl.lists.geo import GeoDatabase

_TOP = 20


class Sender(msgspec.Struct, frozen=True):
    """A source address of the kept packets, and where it is according to the geo databases.

    The address may be forged. `connected` says that it had completed a TCP handshake with this
    host, `inside` that it is in one of our own networks.
    """

    address: str
    packets: int
    connected: bool = False
    inside: bool = False
    country: str = ""
    asn: int = 0
    as_name: str = ""


class Evidence(msgspec.Struct, frozen=True):
    """The number of kept packets and of their source addresses; the most frequent ones.

    `rates` has rows with rates.COLUMNS. `damage` says where and why reading the packets failed.
    """

    packets: int = 0
    sources: int = 0
    bytes: int = 0
    top_sources: tuple[Sender, ...] = ()
    top_services: tuple[tuple[str, int], ...] = ()
    rates: tuple[tuple[float, ...], ...] = ()
    damage: str = ""

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


def read(
    files: Files, identity: str, places: GeoDatabase | None, ours: Callable[[Prefix], bool]
) -> Evidence:
    """The summary of what was kept of an incident, as far as it can be read.

    `ours` says whether an address is in one of our own networks.
    """
    rates, path = tuple(read_rows(files.rates(identity))), files.packets(identity)
    if not path.is_file():
        return Evidence(rates=rates)
    sources: Counter[Prefix] = Counter()
    services: Counter[str] = Counter()
    count = size = 0
    damage, skipped = "", Skipped()
    try:
        for packet in packets(path, skipped):
            count, size = count + 1, size + packet.length
            source = source_of(packet.frame)
            if source is not None:
                sources[source] += 1
            services[service(packet.frame)] += 1
    except RecordingError as error:  # the disk was full, or the machine lost power
        damage = str(error)
    if skipped.tail:
        damage = f"{path.name} ends inside a packet"
    noted = files.connected(identity)
    connected = frozenset(noted.read_text().split()) if noted.is_file() else frozenset()
    senders = [
        _sender(source, number, connected, ours(source), places)
        for source, number in sources.most_common(_TOP)
    ]
    top = tuple(services.most_common(_TOP))
    return Evidence(count, len(sources), size, tuple(senders), top, rates, damage)


def _sender(
    source: Prefix,
    count: int,
    connected: frozenset[str],
    inside: bool,
    places: GeoDatabase | None,
) -> Sender:
    name, place = str(source).split("/")[0], places.lookup(source) if places else None
    where = (place.country, place.asn, place.as_name) if place else ("", 0, "")
    return Sender(name, count, name in connected, inside, *where)
