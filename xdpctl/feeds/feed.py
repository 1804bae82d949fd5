"""What a list held, and the gathering of it while it is read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from sys import byteorder
from typing import Any

import numpy as np

from xdpctl.errors import RuleError
from xdpctl.prefix import Prefix
from xdpctl.table.family import FAMILIES, Keys

_REJECTS = 100  # told one by one
_TEXT = 200  # characters of a refused line that are told
_SLACK = 1 << 16  # entries beyond twice the maximum before duplicates are sorted out


class FeedFormat(StrEnum):
    AUTO = "auto"
    PLAIN = "plain"
    CSV = "csv"
    JSON = "json"
    NDJSON = "ndjson"
    DSHIELD = "dshield"


@dataclass(frozen=True, slots=True)
class Feed:
    """Sorted unique keys by family, as xdpctl.table.family has them, and what was refused."""

    keys: dict[int, Keys]
    lines: int  # or objects, that held an entry or should have
    duplicates: int  # prefixes that were there already
    rejected: int
    rejects: list[dict[str, Any]]  # the first of them: line, text, error, fix


class Gathering:
    """Takes entries line by line or many at once; holds little more than the keys found."""

    def __init__(self, max_entries: int | None = None) -> None:
        self.lines = 0
        self.rejected = 0
        self.rejects: list[dict[str, Any]] = []
        self._most = max_entries
        self._duplicates = 0
        self._raw = {number: bytearray() for number in FAMILIES}
        self._room = self._unsorted_room()

    def take(self, line: int, text: str, parse: Callable[[str], Iterable[Prefix]]) -> None:
        """One line, of which `parse` makes prefixes, none if it is no entry, or a RuleError."""
        try:
            found = parse(text)
        except RuleError as error:
            self.refuse(line, text, error)
            return
        held = False
        for address, length in found:
            held = True
            if len(address) == 4:
                key = int.from_bytes(address, "big") << 6 | length
                self._raw[4] += key.to_bytes(8, byteorder)
            else:
                self._raw[6] += address + length.to_bytes()
            self._room -= 1
        self.lines += held
        if self._room < 0:
            self._compact()

    def take4(self, keys: Keys) -> None:
        """Lines of one IPv4 entry each."""
        self.lines += len(keys)
        self._raw[4] += keys.tobytes()
        self._room -= len(keys)
        if self._room < 0:
            self._compact()

    def refuse(self, line: int, text: str, error: RuleError) -> None:
        self.lines += 1
        self.rejected += 1
        if len(self.rejects) < _REJECTS:
            told = {"line": line, "text": text[:_TEXT], "error": str(error), "fix": error.fix}
            self.rejects.append(told)

    @property
    def failed(self) -> bool:
        """Whether this was no list: nothing in it, or more refused than not."""
        return self.rejected * 2 > self.lines or not self.lines

    def feed(self) -> Feed:
        """RuleError beyond the maximum, or if this was no list."""
        keys = self._compact()
        if not self.lines:
            raise RuleError(
                "the list is empty: it holds no entry", "", "check where the list comes from"
            )
        if self.failed:
            first = self.rejects[0]
            raise RuleError(
                f"this does not look like a list of prefixes: {self.rejected} of {self.lines} "
                f"entries were refused, the first at {first['line']}: {first['error']}",
                "",
                "check where the list comes from, or name its format (and its column)",
            )
        return Feed(keys, self.lines, self._duplicates, self.rejected, self.rejects)

    def _unsorted_room(self) -> int:
        """How many more may come before duplicates must be sorted out; far off if unlimited."""
        return 1 << 62 if self._most is None else 2 * self._most + _SLACK

    def _compact(self) -> dict[int, Keys]:
        """Sort out the duplicates; RuleError if more than the maximum remain."""
        keys = {}
        for number, family in FAMILIES.items():
            found = np.frombuffer(self._raw.pop(number), family.dtype)
            keys[number] = _unique(found)
            self._duplicates += len(found) - len(keys[number])
        count = sum(map(len, keys.values()))
        if self._most is not None and count > self._most:
            raise RuleError(
                f"the list holds at least {count} prefixes; at most {self._most} are allowed",
                "",
                "use a shorter list, or raise the limit",
            )
        self._raw = {number: bytearray(found.tobytes()) for number, found in keys.items()}
        self._room = self._unsorted_room() - count
        return keys


def _unique(keys: Keys) -> Keys:
    """Sorted; several times faster than numpy's own on numbers."""
    keys = np.sort(keys)
    kept = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=kept[1:])
    return keys[kept]
