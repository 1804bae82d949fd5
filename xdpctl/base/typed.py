# SPDX-License-Identifier: GPL-2.0-or-later
"""Typed values from TOML tables; all problems of a file are reported at once, with their place.

A table is a msgspec Struct. Besides what msgspec reads, its fields may be a Prefix, a Path or
Seconds. Its method `check(place, problems)` checks what types and ranges cannot.
"""

import difflib
import re
from collections.abc import Collection
from enum import EnumType
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct, structs

from xdpctl.base.durations import parse_duration
from xdpctl.base.net.prefix import Prefix, exact_address, parse_prefix
from xdpctl.base.problems import Problems, show
from xdpctl.errors import RuleError

T = TypeVar("T")
LARGEST = 2**63 - 1
_DURATION = "a duration"
# A duration: a file has seconds, or text such as `15m`.
Seconds = Annotated[float, Meta(gt=0, le=1e10, description=_DURATION)]
Address = Annotated[Prefix, Meta(description="an IP address")]
_SecondsOrText = Annotated[float, Meta(gt=0, le=1e10)] | str
_PathText = Annotated[str, Meta(min_length=1, max_length=4096)]
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
_BAD: Any = object()  # stands for a value that cannot be read


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the configuration file."""

    def check(self, place: str, problems: Problems) -> None:
        """Add the problems of the whole table; called only if every single value could be read."""


def convert(data: Any, wanted: type[T], problems: Problems) -> T:
    """Convert tables to a Table whose fields all have defaults.

    A value that cannot be read is added to `problems` and left out, so that the others are
    checked too.
    """
    table = _read(data, wanted, "", problems)
    return wanted() if table is _BAD else table


def schema(wanted: type[Table]) -> dict[str, Any]:
    """The JSON Schema of a table."""
    document = msgspec.json.schema(wanted, schema_hook=_schema)
    if Prefix.__name__ in document["$defs"]:
        document["$defs"][Prefix.__name__] = {"type": "string"}
    _allow_text(document)
    return document


def _schema(wanted: type) -> dict[str, Any]:
    if wanted is Path:
        return {"type": "string", "minLength": 1, "maxLength": 4096}
    raise NotImplementedError


def _allow_text(node: Any) -> None:
    """Let durations be text too, in a JSON Schema."""
    if isinstance(node, dict):
        if node.get("description") == _DURATION and node.get("type") == "number":
            node["type"] = ["number", "string"]
        for value in node.values():
            _allow_text(value)
    elif isinstance(node, list):
        for value in node:
            _allow_text(value)


def unknown(name: str, known: Collection[str], place: str) -> str:
    """The problem of a setting that is not known, with a hint."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {_join(place, near[0])}?" if near else f"known: {', '.join(known)}"
    return f"unknown setting {_join(place, name)}; {hint}"


def _read(value: Any, wanted: Any, place: str, problems: Problems) -> Any:
    """The value as the wanted type, without unreadable parts; _BAD if no part can be read."""
    plain = get_args(wanted)[0] if get_origin(wanted) is Annotated else wanted
    union = get_args(plain) if get_origin(plain) in (Union, UnionType) else ()
    for member in (wanted, *union):
        if member == Prefix:
            return _prefix(value, place, problems)
        if member == Address:
            return _address(value, place, problems)
        if member == Path:
            text = _leaf(value, _PathText, place, problems)
            return text if text is _BAD else Path(text)
        if member == Seconds:
            return _seconds(value, place, problems)
        if isinstance(member, type) and issubclass(member, Struct) and isinstance(value, dict):
            return _table(value, member, place, problems)
    kind = get_origin(plain)
    if kind is tuple and isinstance(value, list):
        if plain is not wanted:  # the annotation bounds the list's length
            _leaf(value, Annotated[(list, *get_args(wanted)[1:])], place, problems)
        item = get_args(plain)[0]
        items = [
            _read(element, item, f"{place}[{n}]", problems) for n, element in enumerate(value, 1)
        ]
        return tuple(element for element in items if element is not _BAD)
    if kind is dict and isinstance(value, dict):
        item = get_args(plain)[1]
        values = {
            n: _read(element, item, _join(place, str(n)), problems) for n, element in value.items()
        }
        return {name: element for name, element in values.items() if element is not _BAD}
    return _leaf(value, wanted, place, problems)


def _table(value: dict[str, Any], wanted: type[Struct], place: str, problems: Problems) -> Any:
    fields = {field.encode_name: field for field in structs.fields(wanted)}
    values, before = {}, problems.count
    for name, item in value.items():
        if name not in fields:
            problems.add(unknown(str(name)[:80], fields, place))
        elif (part := _read(item, fields[name].type, _join(place, name), problems)) is not _BAD:
            values[name] = part
    required = [name for name, field in fields.items() if field.required]
    for name in required:
        if name not in value:
            problems.add(f"{_join(place, name)} is missing")
    if not values.keys() >= set(required):
        return _BAD
    table = wanted(**values)
    if isinstance(table, Table) and problems.count == before:
        table.check(place, problems)
    return table


def _prefix(value: Any, place: str, problems: Problems) -> Any:
    text = _leaf(value, str, place, problems)
    if text is not _BAD:
        with problems.at(place):
            return parse_prefix(text, place)
    return _BAD


def _address(value: Any, place: str, problems: Problems) -> Any:
    text = _leaf(value, str, place, problems)
    if text is not _BAD and (address := exact_address(text)):
        return address
    if text is not _BAD:
        problems.add(f"{place} is {show(text)}; give an IP address")
    return _BAD


def _seconds(value: Any, place: str, problems: Problems) -> Any:
    leaf = _leaf(value, _SecondsOrText, place, problems)
    if not isinstance(leaf, str):
        return leaf if leaf is _BAD else float(leaf)
    try:
        if (seconds := parse_duration(leaf, place)) > 0:
            return seconds
    except RuleError as error:
        problems.add(f"{place} is {show(leaf)}; {error.fix}")
    else:
        problems.add(f"{place} is {show(leaf)}; give more than 0")
    return _BAD


def _leaf(value: Any, wanted: Any, place: str, problems: Problems) -> Any:
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        problems.add_value(place, value, _plain(str(error), wanted))
    except (RecursionError, OverflowError, UnicodeError):
        problems.add(f"{place or 'the file'} is nested too deeply, too large, or not valid text")
    return _BAD


def _plain(error: str, wanted: Any) -> str:
    """Reword an error of msgspec: `expected a whole number of at least 1`."""
    text = error.partition(" - at ")[0]
    if text.startswith("Invalid enum value"):
        return f"expected one of {', '.join(_choices(wanted))}"
    words = re.sub(r"`([^`]*)`", lambda match: _in_words(match.group(1)), text)
    words = words.replace(" >= ", " of at least ").replace(" <= ", " of at most ")
    return words[:1].lower() + words[1:]


def _choices(wanted: Any) -> list[str]:
    """The values of an enum or a Literal, which may be a member of a union."""
    if get_origin(wanted) is Literal:
        return list(map(str, get_args(wanted)))
    if isinstance(wanted, EnumType):
        return [str(member.value) for member in wanted]  # type: ignore[var-annotated]
    return [choice for member in get_args(wanted) for choice in _choices(member)]


def _in_words(types: str) -> str:
    return " or ".join(_WORDS.get(name, name) for name in types.split(" | "))


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
