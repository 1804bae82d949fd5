# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists of one entry a line; lines with IPv4 entries are parsed many at once, with numpy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdpctl.base.net.prefix_arrays import V4
from xdpctl.lists.formats.entries import LINE, parse_line, too_long
from xdpctl.lists.formats.feed import Gathering

_CHUNK = 1 << 18  # bytes parsed at once; the arrays made of them fit into the processor's cache
_LONG = 1000  # maximum characters parsed of a line
_NEWLINE, _DOT, _SLASH = b"\n./"
_END = np.isin(np.arange(256), list(b"\n\t ,;#"))  # what may follow an entry
_SKIPPED = np.isin(np.arange(256), list(b"\n#;"))  # at the start of lines without an entry
_SPACE = np.isin(np.arange(256), list(b"\t "))
_DASH = np.isin(np.arange(256), list(b"\t -"))  # after a space: perhaps the rest of a range
_LEAST = np.array([1000, 0, 10, 100, 1000], np.uint16)  # least octet by number of digits; 1000: no

Numbers = NDArray[Any]


def read_plain(data: bytes, into: Gathering) -> None:
    """Read every line of `data`, whose lines end in newlines only."""
    at, line = 0, 1
    while at < len(data):
        end = data.find(b"\n", at + _CHUNK) + 1 or len(data)
        if end - at > 2 * _CHUNK:  # a line that is far too long
            line += _read_lines(data, at, end, line, into)
        else:
            chunk = data[at:end]
            line += _read_chunk(chunk if chunk.endswith(b"\n") else chunk + b"\n", line, into)
        at = end


def _read_lines(data: bytes, at: int, end: int, line: int, into: Gathering) -> int:
    first = line
    while at < end:
        stop = data.find(b"\n", at, end)
        stop = stop if stop >= 0 else end
        if stop - at > LINE:
            into.refuse(line, data[at : at + _LONG].decode(errors="replace"), too_long("line"))
        else:
            _read_line(data[at:stop], line, into)
        at, line = stop + 1, line + 1
    return line - first


def _read_line(raw: bytes, line: int, into: Gathering) -> None:
    raw = raw.strip()
    if raw and raw[0] not in b"#;":
        into.take(line, raw[:_LONG].decode(errors="replace"), parse_line)


def _read_chunk(chunk: bytes, line: int, into: Gathering) -> int:
    """Read the lines with IPv4 entries together, then the others; return the number of lines."""
    codes = np.frombuffer(chunk, np.uint8)
    marks = np.flatnonzero(codes - np.uint8(48) > 9)  # positions of all non-digits
    newlines = np.flatnonzero(codes[marks] == _NEWLINE)
    ends = marks[newlines]
    starts, first = np.zeros_like(ends), np.zeros_like(ends)
    starts[1:], first[1:] = ends[:-1] + 1, newlines[:-1] + 1
    simple, keys = _ipv4(codes, marks, first, starts)
    into.take4(keys[simple])
    for number in np.flatnonzero(~simple & ~_SKIPPED[codes[starts]]).tolist():
        _read_line(chunk[starts[number] : ends[number]], line + number, into)
    return len(ends)


def _ipv4(
    codes: NDArray[np.uint8], marks: Numbers, first: Numbers, starts: Numbers
) -> tuple[NDArray[np.bool_], Numbers]:
    """A mask of the lines that certainly are IPv4 entries, and the keys of all lines.

    `marks` are the positions of all characters that are not digits. A line starts at `starts`, and
    `first` is the index of its first mark. If its first three marks are dots, the fourth mark
    belongs to the line, too.
    """
    five = first + np.arange(5)[:, None]
    where = marks[np.minimum(five, len(marks) - 1)]
    width, value = _numbers(codes, where, np.vstack([starts - 1, where[:-1]]))
    slashed = codes[where[3]] == _SLASH
    end = np.where(slashed, where[4], where[3])
    following = codes[np.minimum(end + 1, len(codes) - 1)]
    simple = (codes[where[:3]] == _DOT).all(0)
    simple &= (value[:4] <= 255).all(0)
    simple &= (value[:4] >= _LEAST[np.minimum(width[:4], 4)]).all(0)
    simple &= _END[codes[end]] & ~(_SPACE[codes[end]] & _DASH[following])
    simple &= ~slashed | (value[4] <= 32) & (width[4] >= 1) & (width[4] <= 2)
    lengths = np.where(slashed, value[4], 32).astype(np.uint64)
    addresses = np.zeros(len(starts), np.uint64)
    for octet in value[:4]:
        addresses = addresses << np.uint64(8) | octet
    simple &= addresses & (np.uint64(0xFFFFFFFF) >> lengths) == 0
    return simple, V4.pack4(addresses, lengths)


def _numbers(
    codes: NDArray[np.uint8], where: Numbers, before: Numbers
) -> tuple[Numbers, NDArray[np.uint16]]:
    """The number of digits between two marks, and the number that the last three digits form."""
    width = where - before - 1
    value = np.zeros(where.shape, np.uint16)
    for place, weight in enumerate((1, 10, 100), 1):
        digit = codes.take(where - place, mode="wrap") - np.uint8(48)
        value += (digit * (width >= place)) * np.uint16(weight)
    return width, value
