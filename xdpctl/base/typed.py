# SPDX-License-Identifier: GPL-2.0-or-later
"""Typed values from TOML tables; all problems of a file are reported at once, with their place."""

import difflib
import re
import reprlib
from collections.abc import Collection, Iterator
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
# A duration: seconds, or text such as `15m`.
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
_REPORTED_MAX = 100  # problems; a file may have a million
_BAD: Any = object()  # stands for a value that cannot be read
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


class Problems:
    """Collects problems; `check` raises them. Values of the tables in `secret` are never shown."""

    def __init__(self, secret: Collection[str] = ()) -> None:
        self.count = 0
        self._secret = secret
        self._reported: list[str] = []

    def add(self, text: str) -> None:
        """Add a problem; its text begins with the place in the file."""
        self.count += 1
        if self.count <= _REPORTED_MAX:
            self._reported.append(text)

    def add_value(self, place: str, value: object, why: str) -> None:
        """Add a problem with an unexpected value; a secret value is left out of the text."""
        if re.split(r"[.\[]", place)[0] in self._secret:
            self.add(f"{place}: {why}")
        else:
            self.add(f"{place or 'the file'} is {show(value)}; {why}")

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Collect the RuleError or ConfigError that a block raises, prefixed with `place`."""
        try:
            yield
        except RuleError as error:
            self.add(f"{place}: {error}" + (f"; {error.fix}" if error.fix else ""))
        except ConfigError as error:
            self.add(f"{place}: {error}")

    def check(self) -> None:
        """Raise ConfigError if there are problems: one a line, up to 100 of them."""
        more = self.count - len(self._reported)
        if self._reported:
            lines = [*self._reported, *([f"and {more:,} more"] if more else [])]
            raise ConfigError("\n".join(lines))


def convert(data: Any, wanted: type[T], problems: Problems) -> T:
    """Convert tables to a msgspec Struct, of which every field has a default.

    A value that cannot be read is added to `problems` and left out, so that the others are
    checked too.
    """
    readable = _readable(data, wanted, "", problems)
    return msgspec.convert({} if readable is _BAD else readable, wanted)


def show(value: object) -> str:
    """Show a value as it was given, shortened: it comes from outside and may be long."""
    try:
        return _short.repr(value)
    except (ValueError, RecursionError):  # of a number with thousands of digits
        return "a value that is too long to show"


def read_seconds(
    given: Duration | None, place: str, problems: Problems, default: float = 0.0
) -> float:
    """Read a duration above 0, in seconds; return `default` if nothing is given.

    A duration that cannot be read is added to `problems`, and `default` is returned.
    """
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
    """Parse addresses or prefixes; those that cannot be read are added to `problems`."""
    found = []
    for number, text in enumerate(given, 1):
        with problems.at(f"{place}[{number}]"):
            found.append(parse_prefix(text, place))
    return tuple(found)


def _readable(value: Any, wanted: Any, place: str, problems: Problems) -> Any:
    """The value without the settings that cannot be read; _BAD if no part can be read."""
    inner = get_args(wanted)[0] if get_origin(wanted) is Annotated else wanted
    before = problems.count
    if struct := _struct_in(inner, value):
        return _table(value, struct, place, problems)
    if get_origin(inner) is list and isinstance(value, list):
        for number, item in enumerate(value, 1):
            _readable(item, get_args(inner)[0], f"{place}[{number}]", problems)
    elif get_origin(inner) is dict and isinstance(value, dict):
        for name, item in value.items():
            _readable(item, get_args(inner)[1], _join(place, str(name)), problems)
    if problems.count == before:
        _check_leaf(value, wanted, place, problems)
    return value if problems.count == before else _BAD


def _struct_in(wanted: Any, value: Any) -> type[Struct] | None:
    """The Struct type that a table is converted to; a union may contain one Struct."""
    union = get_args(wanted) if get_origin(wanted) in (Union, UnionType) else ()
    for member in (wanted, *union):
        if isinstance(member, type) and issubclass(member, Struct):
            return member if isinstance(value, dict) else None
    return None


def _table(value: dict[str, Any], struct: type[Struct], place: str, problems: Problems) -> Any:
    fields = {field.encode_name: field for field in structs.fields(struct)}
    found = {}
    for name, item in value.items():
        if name not in fields:
            problems.add(_unknown(str(name)[:80], fields, place))
        elif (read := _readable(item, fields[name].type, _join(place, name), problems)) is not _BAD:
            found[name] = read
    missing = [name for name, field in fields.items() if field.required and name not in value]
    for name in missing:
        problems.add(f"{_join(place, name)} is missing")
    return _BAD if missing else found


def _unknown(name: str, fields: Collection[str], place: str) -> str:
    near = difflib.get_close_matches(name, fields, 1)
    hint = f"did you mean {_join(place, near[0])}?" if near else f"known: {', '.join(fields)}"
    return f"unknown setting {_join(place, name)}; {hint}"


def _check_leaf(value: Any, wanted: Any, place: str, problems: Problems) -> None:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        problems.add_value(place, value, _plain(str(error), wanted))
    except (RecursionError, OverflowError, UnicodeError):
        problems.add(f"{place or 'the file'} is nested too deeply, too large, or not valid text")


def _plain(error: str, wanted: Any) -> str:
    """Reword an error of msgspec: `expected a whole number of at least 1`."""
    text = error.partition(" - at ")[0]
    if text.startswith("Invalid enum value"):
        return f"expected one of {', '.join(_choices(wanted))}"
    words = re.sub(r"`([^`]*)`", lambda found: _in_words(found.group(1)), text)
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
