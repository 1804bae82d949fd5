"""What the kept packets of an incident say: who sent them, and what they are."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from xdpctl.frames import service, source_of
from xdpctl.geo import GeoDatabase
from xdpctl.rehearsal.recording import Skipped, packets

_TOP = 20


class Sender(msgspec.Struct, frozen=True):
    """A source address as packets say it, which may be forged; where it is, if a database says."""

    address: str
    packets: int
    country: str = ""
    asn: int = 0
    as_name: str = ""


class Evidence(msgspec.Struct, frozen=True):
    """`packets` were kept, of `sources` addresses; the most frequent senders and services."""

    packets: int = 0
    sources: int = 0
    bytes: int = 0
    top_sources: tuple[Sender, ...] = ()
    top_services: tuple[tuple[str, int], ...] = ()

    def as_json(self) -> dict[str, Any]:
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built


def read(path: Path, places: GeoDatabase | None) -> Evidence:
    """Of a file of kept packets; of none if there is no file. RecordingError if it is damaged."""
    if not path.is_file():
        return Evidence()
    sources: Counter[Any] = Counter()
    services: Counter[str] = Counter()
    count = size = 0
    for packet in packets(path, Skipped()):
        count, size = count + 1, size + packet.length
        source = source_of(packet.frame)
        if source is not None:
            sources[source] += 1
        services[service(packet.frame)] += 1
    top = [(source, n) for source, n in sources.most_common(_TOP)]
    senders = []
    for source, n in top:
        place = places.lookup(source) if places else None
        where = (place.country, place.asn, place.as_name) if place else ("", 0, "")
        senders.append(Sender(str(source).split("/")[0], n, *where))
    return Evidence(count, len(sources), size, tuple(senders), tuple(services.most_common(_TOP)))
