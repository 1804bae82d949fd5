# SPDX-License-Identifier: GPL-2.0-or-later
"""Unpacks gzip (RFC 1952) piece by piece, within bounds of size and of members."""

import zlib
from collections.abc import Iterable, Iterator

MAGIC = b"\x1f\x8b"
_PIECE = 4096  # bytes unpacked at once; a gzip bomb can grow a thousandfold


class GzipError(ValueError):
    """The data is not gzip, is truncated, or has more members than allowed."""


class GzipTooLarge(GzipError):
    """The data unpacks to more bytes than allowed."""


def gunzip(pieces: Iterable[bytes], most: int, members: int) -> Iterator[bytes]:
    """Yield the contents of gzip data, at most `most` bytes of at most `members` members.

    Zeros between members and at the end are padding. Unpacking stops as soon as the contents are
    too large.
    """
    inflate, started, size = None, 0, 0
    for piece in _small(pieces):
        rest = piece
        while rest:
            if inflate is None:
                rest = rest.lstrip(b"\0") if started else rest
                if not rest:
                    break
                started += 1
                if started > members:
                    many = f"the gzip data has more than {members} members"
                    raise GzipError(
                        many if members > 1 else "there is data after the end of the gzip data"
                    )
                inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                plain = inflate.decompress(rest, most - size + 1)
            except zlib.error as error:
                raise GzipError(f"the gzip data is corrupt: {error}") from None
            size += len(plain)
            if size > most:
                raise GzipTooLarge(f"at least {size} bytes unpacked; at most {most} are allowed")
            yield plain
            rest = b""
            if inflate.eof:
                rest, inflate = inflate.unused_data, None
    if inflate is not None or not started:
        raise GzipError("the gzip data ends early")


def _small(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), _PIECE):
            yield piece[start : start + _PIECE]
