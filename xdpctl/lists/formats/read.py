# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the prefixes of a list from the bytes of a document."""

from codecs import iterdecode

from xdpctl.errors import RuleError
from xdpctl.lists.formats.content import detect, text_of, unpacked
from xdpctl.lists.formats.feed import Feed, Gathering
from xdpctl.lists.formats.json import read_json, read_ndjson
from xdpctl.lists.formats.plain import read_plain
from xdpctl.lists.formats.tables import read_csv, read_dshield
from xdpctl.model.feed_format import FeedFormat

_PIECE = 1 << 16
LIMIT = 64 << 20  # bytes, enough for about four million addresses


def read(
    data: bytes,
    format: FeedFormat = FeedFormat.AUTO,
    column: str | None = None,
    limit: int = LIMIT,
    *,
    max_entries: int | None = None,
) -> Feed:
    """The contents of a list, gzipped or not; RuleError if the document is not a list.

    `column` is the name or the number (from 1) of a CSV column, or a field of JSON objects. `limit`
    is the maximum number of bytes, unpacked.
    """
    text = text_of(unpacked(data, limit))
    if format is FeedFormat.AUTO:
        format = detect(text, column)
    if column and format in (FeedFormat.PLAIN, FeedFormat.DSHIELD):
        problem = f"the format {format} has no column {column[:40]!r} to choose"
        raise RuleError(problem, "column", "leave it out, or name another format")
    into = Gathering(max_entries, format)
    if format is not FeedFormat.JSON:
        into.check_lines(text)
    match format:
        case FeedFormat.CSV:
            read_csv(text, column, into)
        case FeedFormat.JSON:
            read_json(text, column, into)
        case FeedFormat.NDJSON:
            read_ndjson(text, column, into)
        case FeedFormat.DSHIELD:
            read_dshield(text, into)
        case _:
            read_plain(text, into)
    if into.failed and not _is_utf8(text):
        raise RuleError("the document is not UTF-8 text", "", "convert it to UTF-8")
    return into.feed()


def _is_utf8(data: bytes) -> bool:
    pieces = (data[at : at + _PIECE] for at in range(0, len(data), _PIECE))
    try:
        for _ in iterdecode(pieces, "utf-8"):
            pass
    except UnicodeDecodeError:
        return False
    return True
