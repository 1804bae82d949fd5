# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists in JSON: one document with a list of entries, or one object or string a line."""

import re
from functools import lru_cache, partial
from itertools import count
from typing import Any

import msgspec

from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RuleError
from xdpctl.lists.formats.entries import (
    LINE,
    NAMES,
    is_entry,
    numbered,
    parse_entry,
    plain_name,
    too_long,
)
from xdpctl.lists.formats.feed import Gathering

_RANK = {name: rank for rank, name in enumerate(NAMES)}
_FAMILY = re.compile(r"(ip)?v?[46]")
_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_HEAD = 1 << 16
_LOOKED = 1000  # elements checked to decide whether a list has entries
_BEFORE_STRING = (b"[", b"{", b",", b":", b" ", b"\n", b"\t")


class _Name(str):
    """The name of a field, counted while it is read."""


class _Any(msgspec.Struct):
    """Any object; its fields are skipped."""


class _AnyList(msgspec.Struct, array_like=True):
    """Any list; nothing of it is kept."""


_any_object, _any_list = msgspec.json.Decoder(_Any), msgspec.json.Decoder(_AnyList)
Lists = dict[str, list[msgspec.Raw]]
_plain_name = lru_cache(1024)(plain_name)
_list = msgspec.json.Decoder(list[msgspec.Raw])


def read_json(data: bytes, column: str | None, into: Gathering) -> None:
    """Read a list, or an object that has one; `column` names that list or a field of its objects.

    RuleError if it is not valid JSON, or if no list of prefixes is found.
    """
    try:
        is_list = data[:_HEAD].lstrip()[:1] == b"["
        _check_elements(data, is_list, into)
        lists = {"": _list.decode(data)} if is_list else _lists(data)
    except _NO_JSON as error:
        problem = f"not a list or object in JSON: {error}; it begins with {_start(data)}"
        raise RuleError(problem, "", "check the source of the list") from None
    if column is not None and column in lists:
        lists, column = {column: lists[column]}, None
    parse = partial(_parse, column=column)
    number = 0
    for items in _chosen(lists, column, data).values():
        for raw in items:
            number += 1
            view = memoryview(raw)
            if len(view) <= LINE:
                into.take(number, str(view, "utf-8", "replace"), parse)
            else:
                into.refuse(number, _text(raw), too_long("object"))


def read_ndjson(data: bytes, column: str | None, into: Gathering) -> None:
    """Read one object or string a line; a line that cannot be read is counted as refused."""
    parse = partial(_parse, column=column)
    for number, text in numbered(data, into.refuse):
        into.take(number, text, parse)


def _check_elements(data: bytes, is_list: bool, into: Gathering) -> None:
    """RuleError if the lists have too many elements, before objects are made of them.

    The number is bounded by counting bytes. Every element except a list's first follows a comma, as
    does every field except an object's first. In valid JSON, a quote and a colon end the name of a
    field, unless they begin a string.
    """
    commas = data.count(b",")
    if commas <= into.room:
        return
    (_any_list if is_list else _any_object).decode(data)
    fields = begun = 0
    for end in filter(data.count, (b'":', b'" :')):
        fields += data.count(end) - data.count(b"\\" + end)
        begun += sum(data.count(mark + end) for mark in _BEFORE_STRING)
    most = commas - (fields - begun) + data.count(b"{") + data.count(b"[")
    into.check_count(most, into.room, "elements")


def _lists(data: bytes | msgspec.Raw, path: str = "") -> Lists:
    """The lists in an object, and in the objects directly in it, by name."""
    lists: Lists = {}
    for name, raw in _fields(data).items():
        kind = bytes(memoryview(raw)[:1])
        if kind == b"[":
            lists[path + name] = _list.decode(raw)
        elif kind == b"{" and not path:
            lists |= _lists(raw, f"{name}.")
    return lists


def _fields(data: bytes | msgspec.Raw) -> dict[_Name, msgspec.Raw]:
    """The fields of an object; RuleError if there are more than 1,000."""
    counter = count(1)

    def name(_: type, text: Any) -> _Name:
        if next(counter) > _LOOKED:
            problem = f"the JSON has an object of more than {_LOOKED} fields instead of a list"
            raise RuleError(problem, "", "write a list of strings or objects")
        return _Name(text)

    return msgspec.json.decode(data, type=dict[_Name, msgspec.Raw], dec_hook=name)


def _chosen(lists: Lists, column: str | None, data: bytes) -> Lists:
    """The lists with entries; their names may differ only by the address family, else RuleError."""
    holding = {
        name: items
        for name, items in lists.items()
        if any(_holds(raw, column) for raw in items[:_LOOKED])
    }
    if len({_FAMILY.sub("", plain_name(name)) for name in holding}) > 1:
        there = ", ".join(name[:40] for name in list(holding)[:30])
        raise RuleError(f"the JSON has several lists: {there}", "column", "name one of those")
    if holding:
        return holding
    document = msgspec.Raw(data)
    if _holds(document, column):  # the object itself is an entry
        return {"": [document]}
    if lists and not any(lists.values()):
        return {}
    problem = "the JSON has no list of prefixes"
    if column is not None:
        problem += f" with a field {column[:40]!r}"
    raise RuleError(f"{problem}; it begins with {_start(data)}", "column", "name the list or field")


def _holds(raw: msgspec.Raw, column: str | None) -> bool:
    try:
        return len(memoryview(raw)) <= LINE and bool(_parse(_text(raw), column))
    except RuleError:
        return False


def _text(raw: msgspec.Raw) -> str:
    return str(memoryview(raw)[:LINE], "utf-8", "replace")


def _parse(text: str, column: str | None) -> list[Prefix]:
    """The prefixes of a string or an object; none for an object of metadata."""
    try:
        item = msgspec.json.decode(text)
    except _NO_JSON as error:
        raise RuleError(f"not JSON: {error}", "", "write a string or an object") from None
    if isinstance(item, str) and column is None:
        return parse_entry(item)
    if not isinstance(item, dict):
        expected = "a string or an object" if column is None else f"an object with {column[:40]!r}"
        raise RuleError(f"not {expected}", "", f"write {expected}")
    values = _values(item, column)
    if len(values) > 1:
        return parse_entry(next(filter(is_entry, values), values[0]))
    if values:
        return parse_entry(values[0])
    if item.get("type") == "metadata":
        return []
    expected = "field of a known name" if column is None else f"field {column[:40]!r}"
    there = ", ".join(name[:40] for name in list(item)[:30])
    raise RuleError(f"the object has no {expected}; it has {there}", "column", "name one of those")


def _values(item: dict[str, Any], column: str | None) -> list[str]:
    """The values that may be the entry, best first."""
    if column is not None:
        value = item.get(column)
        return [value] if isinstance(value, str) else []
    by_rank = {_RANK.get(_plain_name(name), -1): value for name, value in item.items()}
    values = [
        by_rank[rank] for rank in sorted(by_rank) if rank >= 0 and isinstance(by_rank[rank], str)
    ]
    match = item.get("match")  # xdpctl's own export
    if not values and isinstance(match, dict) and isinstance(match.get("source"), str):
        return [match["source"]]
    return values


def _start(data: bytes) -> str:
    return repr(data[:120].decode(errors="replace").strip())
