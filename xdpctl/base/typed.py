# SPDX-License-Identifier: GPL-2.0-or-later
"""Typed values from tables of TOML: all problems of a file at once, each with its place."""

import difflib
import re
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import EnumType
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct, structs

from xdpctl.base.durations import parse_duration
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.errors import ConfigError, RuleError

T = TypeVar("T")
LARGEST = 2**63 - 1
# A length of time: seconds, or text such as `15m`.
Duration = Annotated[float, Meta(gt=0, le=1e10)] | str
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}
# Tables whose values are secrets, and are in no message: Apprise's URLs.
_SECRET = ("notify",)
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


class Problems:
    """Collects what is wrong; `check` raises it."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, text: str) -> None:
        """One more, which begins with its place."""
        self.found.append(text)

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Collects the RuleError or ConfigError of a block, behind the place it is about."""
        try:
            yield
        except RuleError as error:
            self.add(f"{place}: {error}" + (f"; {error.fix}" if error.fix else ""))
        except ConfigError as error:
            self.add(f"{place}: {error}")

    def check(self) -> None:
        """ConfigError with all of them, one a line; none: nothing."""
        if self.found:
            raise ConfigError("\n".join(self.found))


def convert(data: Any, wanted: type[T]) -> T:
    """The tables as a msgspec Struct; ConfigError with every problem, one a line."""
    problems = Problems()
    _look(data, wanted, "", problems)
    problems.check()
    return msgspec.convert(data, wanted)


def show(value: object) -> str:
    """A value as it was given, shortened: what it says is not ours, and may be long."""
    try:
        return _short.repr(value)
    except (ValueError, RecursionError):  # of a number with thousands of digits
        return "a value that is too long to show"


def read_seconds(
    given: Duration | None, place: str, problems: Problems, default: float = 0.0
) -> float:
    """The length of time in seconds, above 0; `default` where nothing is given."""
    if given is None:
        return default
    if not isinstance(given, str):
        return float(given)
    try:
        if (found := parse_duration(given, place)) > 0:
            return found
    except RuleError as error:
        problems.add(f"{place} is {show(given)}; {error.fix}")
    else:
        problems.add(f"{place} is {show(given)}; give more than 0")
    return default


def read_prefixes(given: list[str], place: str, problems: Problems) -> tuple[Prefix, ...]:
    """Those of the texts that are addresses or prefixes."""
    found = []
    for number, one in enumerate(given, 1):
        with problems.at(f"{place}[{number}]"):
            found.append(parse_prefix(one, place))
    return tuple(found)


def _look(value: Any, wanted: Any, place: str, problems: Problems) -> None:
    inner = get_args(wanted)[0] if get_origin(wanted) is Annotated else wanted
    before = len(problems.found)
    if struct := _struct_in(inner, value):
        _table(value, struct, place, problems)
    elif get_origin(inner) is list and isinstance(value, list):
        for number, one in enumerate(value, 1):
            _look(one, get_args(inner)[0], f"{place}[{number}]", problems)
    elif get_origin(inner) is dict and isinstance(value, dict):
        for name, one in value.items():
            _look(one, get_args(inner)[1], _join(place, str(name)), problems)
    if len(problems.found) == before:
        _leaf(value, wanted, place, problems)


def _struct_in(wanted: Any, value: Any) -> type[Struct] | None:
    """The Struct that a table is to become; a union may have one beside other types."""
    union = get_args(wanted) if get_origin(wanted) in (Union, UnionType) else ()
    for one in (wanted, *union):
        if isinstance(one, type) and issubclass(one, Struct):
            return one if isinstance(value, dict) else None
    return None


def _table(value: dict[str, Any], struct: type[Struct], place: str, problems: Problems) -> None:
    fields = {field.encode_name: field for field in structs.fields(struct)}
    for name, one in value.items():
        if name in fields:
            _look(one, fields[name].type, _join(place, name), problems)
            continue
        near = difflib.get_close_matches(str(name)[:80], fields, 1)
        hint = f"did you mean {_join(place, near[0])}?" if near else f"known: {', '.join(fields)}"
        problems.add(f"unknown setting {_join(place, str(name)[:80])}; {hint}")
    for name, field in fields.items():
        if field.required and name not in value:
            problems.add(f"{_join(place, name)} is missing")


def _leaf(value: Any, wanted: Any, place: str, problems: Problems) -> None:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        secret = re.split(r"[.\[]", place)[0] in _SECRET
        given = "" if secret else f" is {show(value)}"
        mark = ":" if secret else ";"
        problems.add(f"{place or 'the file'}{given}{mark} {_plain(str(error), wanted)}")
    except (RecursionError, OverflowError, UnicodeError):
        problems.add(f"{place or 'the file'} is nested too deeply, too large, or no text")


def _plain(error: str, wanted: Any) -> str:
    """What msgspec says, in words: `expected a whole number >= 1`."""
    text = error.partition(" - at ")[0]
    if text.startswith("Invalid enum value"):
        return f"expected one of {', '.join(_choices(wanted))}"
    words = re.sub(r"`([^`]*)`", lambda found: _in_words(found.group(1)), text)
    words = words.replace(" >= ", " of at least ").replace(" <= ", " of at most ")
    return words[:1].lower() + words[1:]


def _choices(wanted: Any) -> list[str]:
    """The values of an enum or a Literal, also of one in a union."""
    if get_origin(wanted) is Literal:
        return list(map(str, get_args(wanted)))
    if isinstance(wanted, EnumType):
        return [str(one.value) for one in wanted]  # type: ignore[var-annotated]
    return [choice for one in get_args(wanted) for choice in _choices(one)]


def _in_words(types: str) -> str:
    return " or ".join(_WORDS.get(one, one) for one in types.split(" | "))


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
