# SPDX-License-Identifier: GPL-2.0-or-later
"""Typed values from tables of TOML: all problems of a file at once, each with its place."""

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
_TOLD = 100  # problems; a file may have a million
_BAD: Any = object()  # in place of a value that cannot be read
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


class Problems:
    """Collects what is wrong; `check` raises it. Values of the tables `secret` are never shown."""

    def __init__(self, secret: Collection[str] = ()) -> None:
        self.count = 0
        self._secret = secret
        self._told: list[str] = []

    def add(self, text: str) -> None:
        """One more, which begins with its place."""
        self.count += 1
        if self.count <= _TOLD:
            self._told.append(text)

    def add_value(self, place: str, value: object, why: str) -> None:
        """A value that is none of those that are expected there."""
        if re.split(r"[.\[]", place)[0] in self._secret:
            self.add(f"{place}: {why}")
        else:
            self.add(f"{place or 'the file'} is {show(value)}; {why}")

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
        more = self.count - len(self._told)
        if self._told:
            raise ConfigError("\n".join([*self._told, *([f"and {more:,} more"] if more else [])]))


def convert(data: Any, wanted: type[T], problems: Problems) -> T:
    """The tables as a msgspec Struct of which every field has a default.

    What cannot be read goes to `problems` and is left out, so that the rest can be judged too.
    """
    readable = _readable(data, wanted, "", problems)
    return msgspec.convert({} if readable is _BAD else readable, wanted)


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


def _readable(value: Any, wanted: Any, place: str, problems: Problems) -> Any:
    """The value without the settings that cannot be read; _BAD if nothing of it can."""
    inner = get_args(wanted)[0] if get_origin(wanted) is Annotated else wanted
    before = problems.count
    if struct := _struct_in(inner, value):
        return _table(value, struct, place, problems)
    if get_origin(inner) is list and isinstance(value, list):
        for number, one in enumerate(value, 1):
            _readable(one, get_args(inner)[0], f"{place}[{number}]", problems)
    elif get_origin(inner) is dict and isinstance(value, dict):
        for name, one in value.items():
            _readable(one, get_args(inner)[1], _join(place, str(name)), problems)
    if problems.count == before:
        _check_leaf(value, wanted, place, problems)
    return value if problems.count == before else _BAD


def _struct_in(wanted: Any, value: Any) -> type[Struct] | None:
    """The Struct that a table is to become; a union may have one beside other types."""
    union = get_args(wanted) if get_origin(wanted) in (Union, UnionType) else ()
    for one in (wanted, *union):
        if isinstance(one, type) and issubclass(one, Struct):
            return one if isinstance(value, dict) else None
    return None


def _table(value: dict[str, Any], struct: type[Struct], place: str, problems: Problems) -> Any:
    fields = {field.encode_name: field for field in structs.fields(struct)}
    found = {}
    for name, one in value.items():
        if name not in fields:
            problems.add(_unknown(str(name)[:80], fields, place))
        elif (read := _readable(one, fields[name].type, _join(place, name), problems)) is not _BAD:
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
