# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets as they are stored: entries to bytes and back, records, ETags."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.spaces import by_family, entries, prefixes_of
from tests.unit.base.test_prefix_arrays import prefixes_of as any_prefix
from xdpctl.base.net.prefix_arrays import V4, V6
from xdpctl.control.store.records import decode_set, encode_set
from xdpctl.errors import RuleError
from xdpctl.model.effect import Action, Mode
from xdpctl.model.source_set import (
    NOTHING,
    FeedSource,
    Options,
    SourceSet,
    check_refresh,
    count,
    decode_entries,
    encode_entries,
)

FEED = FeedSource(url="https://feeds.test/", refresh=60.0, column="ip", etag='"v1"')
HELD = SourceSet(
    name="bad",
    slot=65,
    action=Action.ACCEPT,
    mode=Mode.MONITOR,
    reason="why",
    created_at=1.5,
    changed_at=2.5,
    feed=FEED,
    options=Options(aggregate=True, widen_ipv6=64, at_most=9),
    report={"entries": 3},
)


@given(st.sets(st.one_of(any_prefix(V4), any_prefix(V6)), max_size=50))
def test_entries_are_read_back_from_bytes_unchanged(prefixes: set[object]) -> None:
    held = by_family(prefixes)  # type: ignore[arg-type]
    data = encode_entries(held)
    assert len(data) == 8 + 5 * len(held[4]) + 17 * len(held[6])
    back = decode_entries(data)
    assert count(back) == count(held) == len(prefixes)
    for number, keys in held.items():
        assert back[number].dtype == keys.dtype
        assert np.array_equal(back[number], keys)


@pytest.mark.parametrize("cut", [0, 4, 7, 8, 12, -1])
def test_truncated_entries_are_refused(cut: int) -> None:
    data = encode_entries(entries("45.0.0.1", "2600::/32"))
    with pytest.raises(ValueError, match=r"hold|buffer|smaller"):
        decode_entries(data[:cut])
    with pytest.raises(ValueError, match="do not hold 1 and 1 entries"):
        decode_entries(data + b"x")


def test_an_empty_set_takes_eight_bytes() -> None:
    assert encode_entries(NOTHING) == bytes(8)
    assert prefixes_of(decode_entries(bytes(8))) == []


def test_a_set_record_is_read_back_unchanged() -> None:
    assert decode_set(encode_set(HELD)) == HELD
    plain = SourceSet(name="a", slot=2)
    assert decode_set(encode_set(plain)) == plain
    with pytest.raises(ValueError, match="slot"):
        decode_set(b'{"name": "a"}')


@pytest.mark.parametrize(
    "change",
    [
        {"slot": 64},
        {"mode": Mode.ENFORCE},
        {"reason": "why not"},
        {"origin": "else"},
        {"changed_at": 2.501},
        {"feed": None},
        {"feed": FeedSource(url="https://feeds.test/", etag='"v2"')},
    ],
)
def test_an_etag_differs_after_any_change(change: dict[str, object]) -> None:
    assert HELD.replace(**change).etag != HELD.etag
    assert len(HELD.etag) == 8
    assert decode_set(encode_set(HELD)).etag == HELD.etag


@pytest.mark.parametrize("name", ["", "A", "a b", "a/b", "ä", "x" * 65])
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(RuleError) as caught:
        SourceSet(name=name, slot=2)
    assert caught.value.field == "name"


def test_a_feeds_interval_is_a_minute_to_a_month() -> None:
    assert [check_refresh(s) for s in (60, 3600.5, 30 * 86400)] == [60, 3600.5, 30 * 86400]
    for wrong in (59.9, 0, -1, 30 * 86400 + 1, float("inf"), float("nan")):
        with pytest.raises(RuleError, match="refresh cannot be"):
            check_refresh(wrong)
