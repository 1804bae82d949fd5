# SPDX-License-Identifier: GPL-2.0-or-later
"""MMDB files of every known layout: the location of an address, and a country's networks."""

from collections.abc import Mapping
from ipaddress import IPv4Network, collapse_addresses, ip_network
from mmap import mmap
from pathlib import Path
from typing import Any

import maxminddb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter, SearchTreeNode, TreeWriter
from netaddr import IPSet

from xdpctl.base.net.prefix import Prefix, parse_address
from xdpctl.base.net.prefix_arrays import FAMILIES, Keys
from xdpctl.errors import ConfigError, RuleError
from xdpctl.lists.geo import GeoDatabase, Place, open_database
from xdpctl.lists.geo.mmdb import _Nodes

DE = {"country": {"iso_code": "DE", "names": {"en": "Germany"}}, "continent": {"code": "EU"}}
US = {"country": {"iso_code": "US"}}
AS1 = {"autonomous_system_number": 64500, "autonomous_system_organization": "Example"}
ALIASES = ("2001::/32", "2002::/16", "::ffff:0:0/96")
NO_CODES = ("DEU", "Germany", "QQ", "XX", "T1", "AP", "1A", "D\u0130", "49")
WORLD = {
    "192.0.2.0/25": DE,
    "192.0.2.128/25": DE,
    "198.51.100.0/24": US,
    "203.0.113.0/24": {"registered_country": {"iso_code": "FR"}, "traits": {"asn": 7}},
    "2001:db8::/32": DE,
    "2001:db9::/48": {"country": {"iso_code": "EU"}},
    "10.0.0.0/8": {"continent": {"code": "EU"}},
}


def write_mmdb(
    path: Path,
    networks: Mapping[str, Any],
    version: int = 6,
    aliases: tuple[str, ...] = (),
    record_size: int = 0,
) -> Path:
    """A database with these networks; aliases lead to its IPv4 tree, as in MaxMind's."""
    writer = MMDBWriter(version, "Test", ["en"], "of a test", ipv4_compatible=version == 6)
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), record)
    for alias in aliases:
        *bits, last = _bits(alias)
        _node(writer, bits)[last] = _node(writer, [0] * 96)

    class Writer(TreeWriter):
        def _adjust_record_size(self) -> None:
            super()._adjust_record_size()
            self.record_size = record_size or self.record_size

    Writer(writer.tree, writer._build_meta()).write(str(path))
    return path


def _bits(prefix: str) -> list[int]:
    network = ip_network(prefix)
    return [int(bit) for bit in f"{int(network.network_address):0128b}"[: network.prefixlen]]


def _node(writer: MMDBWriter, bits: list[int]) -> SearchTreeNode:
    node = writer.tree
    for bit in bits:
        node = node.get_or_create(bit)  # type: ignore[assignment]
    return node


def ask(database: GeoDatabase, *chosen: str | int, inverted: bool = False) -> list[str]:
    """The networks of countries and ASes, as text."""
    found = database.networks(
        countries=frozenset(c for c in chosen if isinstance(c, str)),
        asns=frozenset(c for c in chosen if isinstance(c, int)),
        inverted=inverted,
    )
    assert set(found) == {4, 6}
    return [text for n, keys in found.items() for text in texts(n, keys)]


def texts(family: int, keys: Keys) -> list[str]:
    assert keys.dtype == FAMILIES[family].dtype
    assert (keys[1:] > keys[:-1]).all(), "sorted, each once"
    return [str(prefix) for prefix in FAMILIES[family].prefixes(keys)]


@pytest.fixture
def world(tmp_path: Path) -> GeoDatabase:
    return open_database(write_mmdb(tmp_path / "world", WORLD, aliases=ALIASES))


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (DE, ("DE", 0, "")),
        ({**DE, "registered_country": {"iso_code": "US"}}, ("DE", 0, "")),
        ({"registered_country": {"iso_code": "FR"}}, ("FR", 0, "")),
        ({"country": "jp"}, ("JP", 0, "")),
        ({"country": "Japan", "country_code": "JP"}, ("JP", 0, "")),
        ({"country_code": "UK"}, ("GB", 0, "")),
        (AS1, ("", 64500, "Example")),
        ({"asn": "AS15169", "as_name": "G", "country_code": "US"}, ("US", 15169, "G")),
        ({"asn": "15169", "name": "G"}, ("", 15169, "G")),
        ({"traits": {"autonomous_system_number": 7}, **US}, ("US", 7, "")),
    ],
)
@pytest.mark.parametrize("version", [4, 6])
def test_every_layout_is_read(
    tmp_path: Path, record: dict[str, Any], expected: tuple[str, int, str], version: int
) -> None:
    database = open_database(write_mmdb(tmp_path / "x", {"192.0.2.0/24": record}, version))
    place = database.lookup(parse_address("192.0.2.7", "source"))
    assert place == Place(*expected, "192.0.2.0/24")
    assert (database.has_countries, database.has_asns) == (bool(expected[0]), bool(expected[1]))
    assert ask(database, *(fact for fact in expected[:2] if fact)) == ["192.0.2.0/24"]


@pytest.mark.parametrize("code", ["", "-", "XX", "ZZ", "None", 3, None])
def test_codes_that_are_not_countries_are_unknown(tmp_path: Path, code: object) -> None:
    networks = {"192.0.2.0/24": {"country_code": code or ""}, "198.51.100.0/24": US}
    database = open_database(write_mmdb(tmp_path / "x", networks))
    place = database.lookup(parse_address("192.0.2.7", "source"))
    assert place == Place("", 0, "", "192.0.2.0/24")
    assert ask(database, "US", inverted=True) == []


def test_an_address_without_an_entry_has_no_location(world: GeoDatabase, tmp_path: Path) -> None:
    assert world.lookup(parse_address("192.0.3.1", "source")) is None
    assert world.lookup(parse_address("2001:db7::1", "source")) is None
    only4 = open_database(write_mmdb(tmp_path / "4", {"192.0.2.0/24": DE}, version=4))
    assert only4.lookup(parse_address("2001:db8::1", "source")) is None
    assert ask(only4, "DE") == ["192.0.2.0/24"]


def test_a_database_describes_itself(world: GeoDatabase) -> None:
    assert world.description == "world (of a test)"
    assert 1.7e9 < world.built < 1e10
    assert world.has_countries
    assert world.has_asns


def test_a_country_has_the_fewest_prefixes_without_repeats_by_aliases(world: GeoDatabase) -> None:
    assert ask(world, "DE") == ["192.0.2.0/24", "2001:db8::/32"]
    assert ask(world, "DE", "US") == ["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"]
    assert ask(world, "fr") == ask(world, 7) == ["203.0.113.0/24"]
    assert ask(world, "EU", 7) == ["203.0.113.0/24", "2001:db9::/48"]


def test_inverted_selects_all_networks_known_to_be_elsewhere(world: GeoDatabase) -> None:
    assert ask(world, "DE", inverted=True) == ["198.51.100.0/24", "203.0.113.0/24", "2001:db9::/48"]
    assert ask(world, "US", "FR", "EU", inverted=True) == ["192.0.2.0/24", "2001:db8::/32"]
    assert ask(world, 7, inverted=True) == []


@pytest.mark.parametrize("size", [24, 28, 32])
def test_records_of_every_size_are_read(tmp_path: Path, size: int) -> None:
    path = write_mmdb(tmp_path / "x", WORLD, record_size=size)
    assert ask(open_database(path), "DE") == ["192.0.2.0/24", "2001:db8::/32"]


def test_all_bits_of_a_record_are_used() -> None:
    rows = {6: "abcdef fedcba", 7: "bcdef1 a7 edcba1", 8: "1abcdef1 7edcba12"}
    left = {6: 0xABCDEF, 7: 0xABCDEF1, 8: 0x1ABCDEF1}
    right = {6: 0xFEDCBA, 7: 0x7EDCBA1, 8: 0x7EDCBA12}
    for width, row in rows.items():
        data = mmap(-1, width)
        data[:] = bytes.fromhex(row)
        _, found = _Nodes(1, width, data).below(np.array([0]), np.array([-1]))
        assert (found - width + 1).tolist() == [[left[width], right[width]]]


@pytest.mark.parametrize(
    ("code", "fix"),
    [("UK", "GB"), ("uk", "GB"), ("EL", "GR"), ("", "DE"), *((c, "DE") for c in NO_CODES)],
)
def test_a_wrong_code_is_refused_with_a_fix(world: GeoDatabase, code: str, fix: str) -> None:
    for inverted in (False, True):
        with pytest.raises(RuleError) as caught:
            ask(world, "DE", code, inverted=inverted)
        assert caught.value.field == "country"
        assert fix in caught.value.fix


def test_a_country_or_as_without_a_network_is_refused(world: GeoDatabase) -> None:
    with pytest.raises(RuleError, match=r"JP has no network in world \(of a test\)"):
        ask(world, "JP")
    with pytest.raises(RuleError, match="AS64999 has no network"):
        ask(world, "DE", 64999, inverted=True)
    with pytest.raises(RuleError, match="no country or AS"):
        ask(world, inverted=True)


def test_a_database_without_countries_says_so(tmp_path: Path) -> None:
    database = open_database(write_mmdb(tmp_path / "x", {"192.0.2.0/24": AS1}))
    with pytest.raises(ConfigError, match="has no countries"):
        ask(database, "DE")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.integers(0, 255), st.integers(23, 32), st.sampled_from(["DE", "US", ""])),
        min_size=1,
    ),
    st.booleans(),
)
def test_networks_agree_with_maxminddb(
    tmp_path: Path, entries: list[tuple[int, int, str]], inverted: bool
) -> None:
    networks: dict[str, Any] = {"198.51.100.0/24": DE}
    for last, length, code in entries:
        wide = Prefix(bytes([192, 0, 2, last]), 32).widened(length)
        high = Prefix(b"\x20\x01" + bytes(13) + bytes([last]), 128).widened(length + 96)
        networks |= {str(prefix): {"country_code": code} for prefix in (wide, high)}
    path = write_mmdb(tmp_path / "x", networks)
    found = open_database(path).networks(
        countries=frozenset({"DE"}), asns=frozenset(), inverted=inverted
    )
    listed = [prefix for n, keys in found.items() for prefix in FAMILIES[n].prefixes(keys)]
    reader = maxminddb.open_database(path)
    for last in range(256):
        for address in (bytes([192, 0, 2, last]), b"\x20\x01" + bytes(13) + bytes([last])):
            single = Prefix(address, len(address) * 8)
            record: Any = reader.get(str(single).split("/")[0])
            code = record["country_code"] if record else ""
            expected = code not in ("", "DE") if inverted else code == "DE"
            assert any(prefix.covers(single) for prefix in listed) == expected


def test_a_real_countrys_list_is_read_back_unchanged(corpus: Path, tmp_path: Path) -> None:
    lists: dict[str, list[str]] = {}
    for path in corpus.glob("geo/*-ipv?.txt"):
        lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
        lists.setdefault(path.name[:2].upper(), []).extend(lines)
    assert min(map(len, lists.values())) > 5000
    networks = {n: {"country": {"iso_code": code}} for code, found in lists.items() for n in found}
    database = open_database(write_mmdb(tmp_path / "x", networks, aliases=ALIASES))
    for code, found in lists.items():
        assert sorted(ask(database, code)) == sorted(found)
    others = collapse_addresses(IPv4Network(n) for n in lists["CN"] + lists["RU"])
    assert sorted(ask(database, "DE", inverted=True)) == sorted(map(str, others))


@pytest.mark.parametrize(
    "name", ["autonomous_system_organization", "as_name", "name", "organization"]
)
def test_every_name_of_an_as_is_read(tmp_path: Path, name: str) -> None:
    record = {"asn": 64500, name: "Example"}
    database = open_database(write_mmdb(tmp_path / "x", {"192.0.2.0/24": record}))
    place = database.lookup(parse_address("192.0.2.7", "source"))
    assert place == Place("", 64500, "Example", "192.0.2.0/24")
