# SPDX-License-Identifier: GPL-2.0-or-later
"""The followers of a detector's file or stream."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.fuzz.support.inputs import bodies, changed_json, damaged, dumps, json_values, texts
from tests.fuzz.support.loop import fuzz
from tests.fuzz.support.seeds import DETECTORS, STREAM
from xdpctl.detectors import checked
from xdpctl.detectors.follow.crowdsec import Access, Places, pieces
from xdpctl.detectors.follow.suricata import _batches
from xdpctl.detectors.follow.tail import Tail, recall


def test_decisions_are_cut_in_pieces_or_handed_on() -> None:
    fuzz(bodies(STREAM), lambda body: sum(map(len, pieces(body))))


def test_a_decision_about_places_is_applied_whole_or_not_at_all() -> None:
    good = dumps(STREAM[0]).replace(b"DE", b"FR")

    def call(body: bytes) -> None:
        places = Places()
        places.take(good, True)
        before = places.countries, places.asns
        try:
            places.take(body, True)
        except Exception:
            assert (places.countries, places.asns) == before
            raise

    fuzz(bodies(STREAM), call)


def test_an_api_address_is_valid_or_refused() -> None:
    ends = st.sampled_from(
        ("", "[", "[::1", ":", ":99999", "\n", "²", "xn--", "@", "%", "/\n", "é")
    )
    lapis = st.lists(ends | texts, max_size=4).map(lambda some: "http://" + "".join(some))
    fuzz(lapis, lambda lapi: Access(lapi).session().close())
    fuzz(texts, lambda key: Access("http://127.0.0.1:8080", key).session().close())


def test_alerts_of_a_file_are_read_whatever_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "eve.json"
    line = b'{"event_type":"alert"}\n'
    files = damaged([line * 3, line + b"x" * 100]) | changed_json(DETECTORS["suricata"])

    def call(data: bytes) -> None:
        path.write_bytes(data)
        tail = Tail(path, None)
        try:
            assert sum(len(body) for body, _ in _batches(tail)) <= len(data)
        finally:
            tail.close()

    fuzz(files, call)


def test_a_saved_file_position_is_recalled_or_forgotten(tmp_path: Path) -> None:
    state, eve = tmp_path / "state", tmp_path / "eve.json"
    eve.write_bytes(b"x\n" * 9)
    held: list[Any] = [{"inode": eve.stat().st_ino, "offset": 4}]

    def call(data: bytes) -> None:
        state.write_bytes(data)
        tail = Tail(eve, recall(state))
        try:
            list(tail.lines())
        finally:
            tail.close()

    fuzz(bodies(held) | json_values.map(dumps), call)


def test_lines_are_split_whatever_is_in_them() -> None:
    lines = st.lists(changed_json(STREAM) | st.binary(), max_size=4).map(b"\n".join)
    fuzz(lines, lambda body: list(checked.lines(body)))


@pytest.mark.parametrize("offset", [-1, -(2**70), 2**70, 10**300])
def test_an_impossible_file_position_is_forgotten(tmp_path: Path, offset: int) -> None:
    state, eve = tmp_path / "state", tmp_path / "eve.json"
    eve.write_bytes(b"x\n" * 9)
    state.write_bytes(dumps({"inode": eve.stat().st_ino, "offset": offset}))
    tail = Tail(eve, recall(state))
    try:
        assert list(tail.lines()) == [b"x"] * 9
    finally:
        tail.close()
