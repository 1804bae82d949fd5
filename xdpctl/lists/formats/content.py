# SPDX-License-Identifier: GPL-2.0-or-later
"""Detects the format of a document by its content, never by its name, and unpacks it."""

import re
from itertools import islice

import msgspec

from xdpctl.base.gunzip import MAGIC, GzipError, GzipTooLarge, gunzip
from xdpctl.errors import RuleError
from xdpctl.lists.formats.entries import LINE, NAMES, is_entry, numbered, parse_line, plain_name
from xdpctl.lists.formats.tables import DSHIELD_TITLE, cells_of
from xdpctl.model.feed_format import FeedFormat

_MEMBERS = 1 << 14  # gzip members; the smallest in use are the blocks of bgzip, 64 KiB each
_HEAD = LINE  # bytes at the start that decide the format
_LINES = 10
_HEAD_BYTES = 4096  # bytes at the start, which show whether the document is text
_DSHIELD = re.compile(r"[0-9]+(\.[0-9]+){3}\t[0-9]+(\.[0-9]+){3}\t[0-9]{1,2}(\t|$)")
_ORIGIN = "check the source of the list: it may need a login or a key, or have moved"


def unpacked(data: bytes, limit: int) -> bytes:
    """The document, unpacked if it is gzip; RuleError if it is longer than `limit` bytes."""
    if not data.startswith(MAGIC):
        _check_size(len(data), limit)
        return data
    try:
        return b"".join(gunzip((data,), limit, _MEMBERS))
    except GzipTooLarge:
        _check_size(limit + 1, limit)
        raise
    except GzipError as error:
        raise RuleError(str(error), "", "fetch the list again, or compress it anew") from None


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise RuleError(
            f"the list has at least {size} bytes unpacked; at most {limit} are allowed",
            "",
            "use a shorter list, or raise the limit",
        )


def text_of(data: bytes) -> bytes:
    """The text without a byte-order mark, its lines ending in newlines only.

    RuleError if it is not text, or if it is HTML or XML.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:_HEAD_BYTES]:
        raise RuleError("the document is not UTF-8 text", "", "convert it to UTF-8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    head = data[:_HEAD_BYTES].lstrip().lower()
    if head.startswith(b"<"):
        html = head.startswith(b"<!doctype html") or b"<html" in head
        raise RuleError(f"the document is {'HTML' if html else 'XML'}, not a list", "", _ORIGIN)
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


def detect(data: bytes, column: str | None) -> FeedFormat:
    """The format of a list, from its beginning; RuleError if all entries are in one line."""
    texts = (text.strip() for _, text in numbered(data[:_HEAD], lambda *_: None))
    lines = list(islice((text for text in texts if text[0] not in ";/"), _LINES))
    if not lines:
        return FeedFormat.PLAIN
    if lines[0][0] in "[{":
        return FeedFormat.NDJSON if _an_object_a_line(lines) else FeedFormat.JSON
    kinds = [kind for kind in map(_format_of, lines) if kind]
    kind = kinds[0] if kinds else FeedFormat.PLAIN
    if kind is FeedFormat.PLAIN and len(lines) == 1:
        _check_one_line(lines[0])
    return FeedFormat.CSV if column and kind is FeedFormat.PLAIN else kind


def _an_object_a_line(lines: list[str]) -> bool:
    if lines[0][0] == "[" or len(lines) == 1 or not lines[0].endswith("}"):
        return False
    return lines[1].startswith("{") or isinstance(_json(lines[0]), dict)


def _json(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _format_of(text: str) -> FeedFormat | None:
    """The format that a line suggests, or None."""
    if text.lower().startswith(DSHIELD_TITLE) or _DSHIELD.match(text):
        return FeedFormat.DSHIELD
    if text[0] == '"' and isinstance(_json(text), str):
        return FeedFormat.NDJSON if is_entry(text[1:-1]) else None
    try:
        if parse_line(text):
            return FeedFormat.PLAIN
    except RuleError:
        pass
    try:
        cells = cells_of(text)
    except RuleError:
        return None
    table = any(is_entry(cell) or plain_name(cell) in NAMES for cell in cells)
    return FeedFormat.CSV if table else None


def _check_one_line(text: str) -> None:
    """RuleError for several entries in one line, since only the first entry would be read."""
    pieces = re.split(r"[\s,;]+", text)[:3]
    if len(pieces) > 1 and all(map(is_entry, pieces)):
        raise RuleError("all entries are in one line", "", "write one entry a line")
