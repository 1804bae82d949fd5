# SPDX-License-Identifier: GPL-2.0-or-later
"""Geographic databases: MMDB and libloc files with random changes."""

import struct
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.fuzz.support.databases import NONE, RECORDS, libloc, mmdb, text
from tests.fuzz.support.inputs import damaged
from tests.fuzz.support.loop import fuzz
from xdpctl.base.net.prefix import parse_address
from xdpctl.lists.geo import open_database

_ADDRESSES = [parse_address(text, "x") for text in ("192.0.2.7", "64.0.0.1", "::1", "2001:db8::1")]


def _ask(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    database = open_database(path)
    assert len(database.description) < 100_000
    for address in _ADDRESSES:
        database.lookup(address)
    for countries, asns in (
        (frozenset({"DE"}), frozenset[int]()),
        (frozenset[str](), frozenset({5})),
    ):
        for inverted in (False, True):
            database.networks(countries=countries, asns=asns, inverted=inverted)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("bits", [24, 28, 32])
def test_valid_databases_are_read(tmp_path: Path, version: int, bits: int) -> None:
    path = tmp_path / "x"
    path.write_bytes(mmdb(RECORDS[0], version, bits))
    database = open_database(path)
    place = database.lookup(_ADDRESSES[0])
    assert place is not None
    assert (place.country, place.asn) == ("DE", 5)
    path.write_bytes(libloc())
    assert open_database(path).lookup(_ADDRESSES[0])


@pytest.mark.parametrize("number", range(len(RECORDS)))
def test_an_mmdb_file_is_read_or_refused(tmp_path: Path, number: int) -> None:
    record = RECORDS[number]
    seeds = [mmdb(record), mmdb(record, 6, 28), mmdb(record, 6, 32)]
    fuzz(damaged(seeds) | st.sampled_from(seeds), lambda data: _ask(tmp_path / "x", data))


def test_an_mmdb_file_of_odd_metadata_is_read_or_refused(tmp_path: Path) -> None:
    epochs = (
        b"\x10\x03" + b"\xff" * 16,
        b"\x68\x7f\xf8" + bytes(6),
        b"\x68\x7f\xf0" + bytes(6),
        b"\xe0",
        b"\x00\x07",
        b"\x01\x07",
        text("x"),
        b"\x20\x00",
        b"\x04\x01" + b"\xff" * 4,
    )
    seeds = [mmdb(RECORDS[0], epoch=epoch) for epoch in epochs]
    tails = damaged([seed[-250:] for seed in seeds]).map(lambda tail: seeds[0][:-250] + tail)
    fuzz(tails | st.sampled_from(seeds), lambda data: _ask(tmp_path / "x", data))


def test_a_libloc_file_is_read_or_refused(tmp_path: Path) -> None:
    whole = libloc()
    heads = damaged([whole[:68]]).map(lambda head: head[:68].ljust(68, b"\0") + whole[68:])
    numbers = st.sampled_from((0, 1, 2, 67, 68, 200, len(whole), NONE, 1 << 31))
    words = st.tuples(st.integers(4, len(whole) // 4 - 1), numbers).map(
        lambda one: whole[: one[0] * 4] + struct.pack(">I", one[1]) + whole[one[0] * 4 + 4 :]
    )
    fuzz(damaged([whole]) | heads | words, lambda data: _ask(tmp_path / "x", data))
