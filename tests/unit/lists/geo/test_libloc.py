# SPDX-License-Identifier: GPL-2.0-or-later
"""libloc's database: one made for the test, and the distribution's if it is installed."""

from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from struct import pack
from typing import NamedTuple

import pytest

from tests.unit.lists.geo.test_geo import ask, texts
from xdpctl.base.net.prefix import Prefix, parse_address
from xdpctl.errors import ConfigError, RuleError
from xdpctl.lists.geo import GeoDatabase, Place, open_database

INSTALLED = Path("/usr/share/libloc-location/location.db")
NONE = 0xFFFFFFFF
HEADER = 8 + 8 + 13 * 4


class Network(NamedTuple):
    prefix: str
    country: str
    asn: int = 0


WORLD = [
    Network("192.0.2.0/24", "DE", 64500),
    Network("192.0.2.64/26", "US", 64501),  # inside the first
    Network("192.0.2.96/27", "DE"),  # inside that
    Network("198.51.100.7/32", "UK"),
    Network("203.0.113.0/24", "", 64502),
    Network("2001:db8::/32", "DE"),
    Network("2001:db8:1::/48", "", 64500),
    Network("2001:db8::1/128", "FR"),
]


def image(networks: list[Network], names: dict[int, str]) -> bytes:
    """A file of format 1: every section at the place that the header gives it."""
    nodes = [[0, 0, NONE]]
    for number, network in enumerate(networks):
        parsed = ip_network(network.prefix)
        mapped = int(parsed.network_address) | (0xFFFF << 32 if parsed.version == 4 else 0)
        node = nodes[0]
        for bit in f"{mapped:0128b}"[: parsed.prefixlen + (96 if parsed.version == 4 else 0)]:
            if not node[int(bit)]:
                node[int(bit)] = len(nodes)
                nodes.append([0, 0, NONE])
            node = nodes[node[int(bit)]]
        node[2] = number
    pool, ases = b"\0A test\0A licence\0", b""
    for asn, name in sorted(names.items()):
        ases += pack(">II", asn, len(pool))
        pool += name.encode() + b"\0"
    rows = b"".join(pack(">2s2xI4x", n.country.encode(), n.asn) for n in networks)
    tree = b"".join(pack(">3I", *node) for node in nodes)
    header, body = pack(">7sBQ3I", b"LOCDBXX", 1, 1_700_000_000, 1, 0, 8), b""
    for section in (ases, rows, tree, b"", pool):
        header += pack(">II", HEADER + len(body), len(section))
        body += section
    return header + body


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "location.db"
    path.write_bytes(image(WORLD, {64500: "Ein Netz", 64502: "Another"}))
    return path


@pytest.fixture
def world(path: Path) -> GeoDatabase:
    return open_database(path)


def test_a_database_describes_itself(world: GeoDatabase) -> None:
    assert world.description == "libloc database of A test (A licence)"
    assert world.built == 1_700_000_000
    assert world.has_countries
    assert world.has_asns


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("192.0.2.1", Place("DE", 64500, "Ein Netz", "192.0.2.0/24")),
        ("192.0.2.65", Place("US", 64501, "", "192.0.2.64/26")),
        ("192.0.2.97", Place("DE", 0, "", "192.0.2.96/27")),
        ("192.0.2.128", Place("DE", 64500, "Ein Netz", "192.0.2.0/24")),
        ("198.51.100.7", Place("GB", 0, "", "198.51.100.7/32")),
        ("203.0.113.255", Place("", 64502, "Another", "203.0.113.0/24")),
        ("192.0.3.1", None),
        ("2001:db8::1", Place("FR", 0, "", "2001:db8::1/128")),
        ("2001:db8::2", Place("DE", 0, "", "2001:db8::/32")),
        ("2001:db8:1::2", Place("", 64500, "Ein Netz", "2001:db8:1::/48")),
        ("2001:db9::", None),
        ("::c000:201", None),
    ],
)
def test_the_innermost_network_answers(
    world: GeoDatabase, address: str, place: Place | None
) -> None:
    assert world.lookup(parse_address(address, "source")) == place


def test_a_country_leaves_out_what_is_elsewhere_inside_it(world: GeoDatabase) -> None:
    assert ask(world, "US") == ["192.0.2.64/27"]
    assert ask(world, "GB") == ["198.51.100.7/32"]
    assert ask(world, "FR") == ["2001:db8::1/128"]
    german = ask(world, "DE")
    assert german[:3] == ["192.0.2.0/26", "192.0.2.96/27", "192.0.2.128/25"]
    assert {"2001:db8::/128", "2001:db8::2/127", "2001:db8:8000::/33"} <= set(german)
    assert "2001:db8:1::/48" not in german
    others = ["192.0.2.64/27", "198.51.100.7/32", "2001:db8::1/128"]
    assert ask(world, "DE", inverted=True) == others
    assert ask(world, "DE", 64500, inverted=True) == [*others[:2], "203.0.113.0/24", others[2]]
    assert ask(world, 64500)[:2] == ["192.0.2.0/26", "192.0.2.128/25"]


def test_invalid_codes_are_refused(world: GeoDatabase) -> None:
    for code in ("UK", "JP", "T1"):
        with pytest.raises(RuleError):
            ask(world, code)


def test_a_default_network_applies_where_no_other_does(tmp_path: Path) -> None:
    path = tmp_path / "location.db"
    path.write_bytes(image([Network("::/0", "DE"), Network("192.0.2.0/24", "US")], {}))
    world = open_database(path)
    assert len(ask(world, "DE")) == 24 + 96
    assert ask(world, "DE", inverted=True) == ["192.0.2.0/24"]
    assert world.lookup(parse_address("192.0.3.1", "source")) == Place("DE", 0, "", "0.0.0.0/0")


def test_a_truncated_or_changed_file_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(8, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(ConfigError, match=f"{path} is a damaged libloc database"):
            open_database(path)
    for at in range(HEADER, len(whole), 13):
        path.write_bytes(whole[:at] + b"\xff\xfe\xfd\xfc" + whole[at + 4 :])
        with suppress(ConfigError, RuleError):
            ask(open_database(path), "DE")
        with suppress(ConfigError):
            open_database(path).lookup(parse_address("192.0.2.97", "source"))
    path.write_bytes(whole[:7] + b"\x02" + whole[8:])
    with pytest.raises(ConfigError, match="of format 2, and only format 1"):
        open_database(path)


@pytest.mark.skipif(not INSTALLED.is_file(), reason="needs the package libloc-database")
def test_the_distributions_database_is_read_and_agrees_with_itself() -> None:
    world = open_database(INSTALLED)
    assert "IPFire" in world.description
    for inverted in (False, True):
        found = world.networks(
            countries=frozenset({"DE"}), asns=frozenset({3320}), inverted=inverted
        )
        for family, keys in found.items():
            assert len(keys) > 10_000
            for text in texts(family, keys)[::500]:
                network = ip_network(text)
                size = network.max_prefixlen
                for address in (network.network_address, network.broadcast_address):
                    place = world.lookup(Prefix(address.packed, size))
                    assert place is not None
                    assert (place.country == "DE" or place.asn == 3320) != inverted
