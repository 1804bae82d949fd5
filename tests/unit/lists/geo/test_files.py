# SPDX-License-Identifier: GPL-2.0-or-later
"""Geographic databases on disk: refused with a reason, found where installed, and combined."""

import gzip
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.unit.lists.geo.test_geo import AS1, DE, US, WORLD, ask, write_mmdb
from xdpctl.base.net.prefix import parse_address
from xdpctl.errors import ConfigError, RuleError
from xdpctl.lists.geo import (
    Combined,
    Place,
    find_databases,
    open_database,
    open_databases,
    open_installed,
)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"x", "is neither an MMDB nor a libloc database"),
        (b"192.0.2.0/24,DE\n" * 1000, "is neither an MMDB nor a libloc database"),
        (b"\xab\xcd\xefMaxMind.com", "is a damaged MMDB file"),
        (bytes(99) + b"\xab\xcd\xefMaxMind.com\xe1Jnode_count\xc1\x07", "is a damaged MMDB file"),
        (gzip.compress(b"\xab\xcd\xefMaxMind.com", mtime=0), "is compressed; gunzip it first"),
        (b"LOCDBXX", "is a damaged libloc database"),
    ],
)
def test_a_file_that_is_not_a_database_is_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "x.mmdb"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        open_database(path)
    assert str(caught.value).startswith(f"{path} {reason}")


def test_a_database_truncated_anywhere_is_refused(tmp_path: Path) -> None:
    whole = write_mmdb(tmp_path / "whole", WORLD).read_bytes()
    path = tmp_path / "cut"
    for length in range(1, len(whole) - 1, 7):
        for part in (whole[:length], whole[length:]):
            path.write_bytes(part)
            with pytest.raises(ConfigError, match=str(path)):
                ask(open_database(path), "DE")


def test_a_database_with_any_changed_byte_answers_or_is_refused(tmp_path: Path) -> None:
    whole = write_mmdb(tmp_path / "whole", WORLD).read_bytes()
    path = tmp_path / "changed"
    answers = 0
    for at in range(0, len(whole), 11):
        for value in (0, 0x22, 0xC0, 0xFF):
            path.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
            with suppress(ConfigError, RuleError):
                database = open_database(path)
                database.lookup(parse_address("192.0.2.7", "source"))
                answers += bool(ask(database, "DE"))
    assert 0 < answers < len(range(0, len(whole), 11)) * 4


def test_a_missing_path_and_a_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no geo database .*/x\.mmdb; apt-get install libloc-d"):
        open_database(tmp_path / "x.mmdb")
    with pytest.raises(ConfigError, match="is not a file"):
        open_database(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is not a file"):
        open_database(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="no geo database is named"):
        open_databases([])


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_mmdb(tmp_path / "x", WORLD)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(ConfigError, match=f"no permission to read {path}; use sudo"):
        open_database(path)


@pytest.mark.parametrize("record", [{"city": 1, "postal": "x"}, "DE", {"country": {"names": {}}}])
def test_a_database_without_countries_is_refused_with_its_fields(
    tmp_path: Path, record: object
) -> None:
    path = write_mmdb(tmp_path / "x", {"192.0.2.0/24": record})
    fields = ", ".join(record) if isinstance(record, dict) else r"\(no fields\)"
    with pytest.raises(ConfigError, match=f"{path} has neither .*have {fields}"):
        open_database(path)


def test_an_empty_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no records"):
        open_database(write_mmdb(tmp_path / "x", {}))


def test_a_replaced_file_is_still_the_one_that_was_opened(tmp_path: Path) -> None:
    path = write_mmdb(tmp_path / "x", WORLD)
    database = open_database(path)
    write_mmdb(tmp_path / "new", {"192.0.2.0/24": US}).replace(path)
    assert ask(database, "DE") == ["192.0.2.0/24", "2001:db8::/32"]
    assert ask(open_database(path), "US") == ["192.0.2.0/24"]


def test_installed_databases_are_found_in_order_of_preference(tmp_path: Path) -> None:
    city = {f"10.{n}.0.0/16": {**DE, "city": {"names": {"en": f"x{n}"}}} for n in range(256)}
    assert find_databases(tmp_path) == []
    with pytest.raises(ConfigError, match="no geo database is installed; apt-get install"):
        open_installed(tmp_path)
    made: list[tuple[str, dict[str, Any]]] = [
        ("var/lib/GeoIP/GeoLite2-Country.mmdb", {"192.0.2.0/24": DE}),
        ("var/lib/GeoIP/GeoLite2-City.mmdb", city),
        ("usr/share/GeoIP/Domain.mmdb", {"192.0.2.0/24": {"domain": "example.com"}}),
        ("usr/share/GeoIP/GeoLite2-ASN.mmdb", {"192.0.2.0/26": AS1}),
        ("usr/share/libloc-location/location.db", {"192.0.2.0/24": US}),
    ]
    for name, networks in made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_mmdb(tmp_path / name, networks)
    (tmp_path / "usr/share/GeoIP/GeoIP.dat").write_text("another format")
    (tmp_path / "usr/share/GeoIP/folder.mmdb").mkdir()
    assert find_databases(tmp_path) == [tmp_path / name for name, _ in made]
    place = open_installed(tmp_path).lookup(parse_address("192.0.2.1", "source"))
    assert place == Place("DE", 64500, "Example", "192.0.2.0/26")


@pytest.fixture
def both(tmp_path: Path) -> Combined:
    ases = {
        "192.0.2.0/26": AS1,
        "198.51.100.0/24": {"autonomous_system_number": 7},
        "203.0.113.0/25": AS1,
    }
    countries = {"192.0.2.0/24": DE, "198.51.100.0/24": US, "2001:db8::/32": DE}
    paths = [
        write_mmdb(tmp_path / name, made) for name, made in (("as", ases), ("country", countries))
    ]
    database = open_databases(paths)
    assert isinstance(database, Combined)
    return database


def test_combined_databases_each_supply_their_facts(both: Combined) -> None:
    assert both.has_countries
    assert both.has_asns
    assert both.description == "as (of a test) and country (of a test)"
    assert both.built == min(part.built for part in both.databases)
    for text, place in {
        "192.0.2.1": Place("DE", 64500, "Example", "192.0.2.0/26"),
        "192.0.2.129": Place("DE", 0, "", "192.0.2.0/24"),
        "203.0.113.1": Place("", 64500, "Example", "203.0.113.0/25"),
        "198.51.100.1": Place("US", 7, "", "198.51.100.0/24"),
        "10.0.0.1": None,
    }.items():
        assert both.lookup(parse_address(text, "source")) == place


def test_combined_databases_join_countries_and_ases(both: Combined) -> None:
    assert ask(both, "DE") == ["192.0.2.0/24", "2001:db8::/32"]
    assert ask(both, 64500) == ["192.0.2.0/26", "203.0.113.0/25"]
    assert ask(both, "DE", 64500) == ["192.0.2.0/24", "203.0.113.0/25", "2001:db8::/32"]
    assert ask(both, "DE", inverted=True) == ["198.51.100.0/24"]
    assert ask(both, 7, inverted=True) == ["192.0.2.0/26", "203.0.113.0/25"]
    assert ask(both, "US", 64500, inverted=True) == [
        *("192.0.2.64/26", "192.0.2.128/25"),
        "2001:db8::/32",
    ]
    assert ask(both, "DE", 64500, 7, inverted=True) == []
    with pytest.raises(RuleError, match="JP has no network"):
        ask(both, "JP", 7)
