# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kept packets of an incident say: who sent them, and what they are."""

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
    """A source address as packets say it, and where it is, if a database says.

    It may be forged; `connected` says that it had completed a handshake with this host, `inside`
    that it is of our own networks.
    """

    address: str
    packets: int
    connected: bool = False
    inside: bool = False
    country: str = ""
    asn: int = 0
    as_name: str = ""


class Evidence(msgspec.Struct, frozen=True):
    """`packets` were kept, of `sources` addresses; the most frequent senders and services.

    `rates` has rows as rates.COLUMNS: how much there was, over time. `damage` tells where and why
    the packets could not be read on.
    """

    packets: int = 0
    sources: int = 0
    bytes: int = 0
    top_sources: tuple[Sender, ...] = ()
    top_services: tuple[tuple[str, int], ...] = ()
    rates: tuple[tuple[float, ...], ...] = ()
    damage: str = ""

    def as_json(self) -> dict[str, Any]:
        """The fields as types that JSON has."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


def read(
    files: Files, identity: str, places: GeoDatabase | None, ours: Callable[[Prefix], bool]
) -> Evidence:
    """What was kept of an incident, as far as it can be read; nothing if nothing was."""
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
    except RecordingError as error:  # the disk was full, or the machine went off
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
