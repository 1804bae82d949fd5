# SPDX-License-Identifier: GPL-2.0-or-later
"""Gzip is unpacked whole or not at all, and no further than allowed."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdpctl.base.gunzip import GzipError, GzipTooLarge, gunzip


def unpack(data: bytes, most: int = 1000, members: int = 3, step: int = 7) -> bytes:
    pieces = (data[at : at + step] for at in range(0, len(data), step))
    return b"".join(gunzip(pieces, most, members))


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3), st.integers(1, 50))
def test_all_members_are_unpacked_however_they_are_cut(parts: list[bytes], step: int) -> None:
    data = b"".join(gzip.compress(part) + bytes(5) for part in parts)
    assert unpack(data, step=step) == b"".join(parts)


def test_the_size_limits_are_exact() -> None:
    data = gzip.compress(bytes(1000))
    assert unpack(data, 1000) == bytes(1000)
    with pytest.raises(GzipTooLarge, match="at least 1000 bytes"):
        unpack(data, 999)
    four = gzip.compress(b"x") * 4
    assert unpack(four, members=4) == b"xxxx"
    with pytest.raises(GzipError, match="more than 3 members"):
        unpack(four)
    with pytest.raises(GzipError, match="after the end"):
        unpack(four, members=1)


def test_a_bomb_is_given_up_before_it_is_unpacked() -> None:
    data = gzip.compress(bytes(50 << 20))
    sizes: list[int] = []
    with pytest.raises(GzipTooLarge):
        sizes.extend(map(len, gunzip((data,), 1 << 20, 1)))
    assert sum(sizes) <= 1 << 20


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "ends early"),
        (gzip.compress(b"x" * 99)[:-1], "ends early"),
        (b"\x1f\x8b nonsense", "corrupt"),
        (gzip.compress(b"x") + b"rest", "corrupt"),
        (b"\0" + gzip.compress(b"x"), "corrupt"),
    ],
)
def test_truncated_data_is_an_error(data: bytes, says: str) -> None:
    with pytest.raises(GzipError, match=says):
        unpack(data)
