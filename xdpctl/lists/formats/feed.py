# SPDX-License-Identifier: GPL-2.0-or-later
"""The contents of a list, and their collection while it is read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from sys import byteorder
from typing import Any

import numpy as np

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.prefix_arrays import FAMILIES, V4, Keys
from xdpctl.errors import RuleError
from xdpctl.model.feed_format import FeedFormat

_REJECTS = 100  # refused lines that are kept for the report
_SHOWN = 3  # refused lines quoted in the error for something that is not a list
_TEXT = 200  # characters kept of a refused line
_PATIENCE = 5000  # refused entries after which reading stops, if most entries were refused
_LINES = 4  # lines allowed for each entry, because of duplicates and comments
_BROAD = 1 << 24  # addresses of a /8
_SLACK = 1 << 16  # entries beyond twice the maximum before duplicates are removed


@dataclass(frozen=True, slots=True)
class Feed:
    """The contents of a list: sorted unique keys by family, and the refused lines.

    `broad` has the prefixes of ranges larger than a /8 separately, since a set that drops must not
    have them.
    """

    keys: dict[int, Keys]
    lines: int  # lines or objects with an entry, including refused lines
    duplicates: int
    rejected: int
    rejects: list[dict[str, Any]]  # the first refused lines: line, text, error, fix
    broad: Keys = field(default_factory=lambda: V4.empty)
    broad_lines: int = 0

    @property
    def everything(self) -> dict[int, Keys]:
        """The keys, including those of the broad ranges."""
        if not len(self.broad):
            return self.keys
        return {**self.keys, 4: _unique(np.concatenate([self.keys[4], self.broad]))}


class Gathering:
    """Collects entries line by line or many at once; needs little more memory than the keys."""

    def __init__(self, max_entries: int | None = None, kind: FeedFormat = FeedFormat.AUTO) -> None:
        self.kind = kind
        self.lines = 0
        self.rejected = 0
        self.rejects: list[dict[str, Any]] = []
        self._most = max_entries
        self._duplicates = 0
        self._raw = {number: bytearray() for number in FAMILIES}
        self._broad = bytearray()
        self._broad_lines = 0
        self._room = self.room

    def take(self, line: int, text: str, parse: Callable[[str], Iterable[Prefix]]) -> None:
        """Add the prefixes that `parse` finds in a line; a line for which it raises is refused."""
        try:
            prefixes = list(parse(text))
        except RuleError as error:
            self.refuse(line, text, error)
            return
        into, broad = self._raw[4], len(prefixes) > 1 and _is_broad(prefixes)
        if broad:
            into, self._broad_lines = self._broad, self._broad_lines + 1
        for address, length in prefixes:
            if len(address) == 4:
                key = int.from_bytes(address, "big") << 6 | length
                into += key.to_bytes(8, byteorder)
            else:
                self._raw[6] += address + length.to_bytes()
            self._room -= 1
        self.lines += bool(prefixes)
        if self._room < 0:
            self._compact()

    def take4(self, keys: Keys) -> None:
        """Add the IPv4 entries of lines that have one each."""
        self.lines += len(keys)
        self._raw[4] += keys.tobytes()
        self._room -= len(keys)
        if self._room < 0:
            self._compact()

    def refuse(self, line: int, text: str, error: RuleError) -> None:
        """Count a refused line; RuleError if too many were refused for this to be a list."""
        self.lines += 1
        self.rejected += 1
        if len(self.rejects) < _REJECTS:
            reject = {"line": line, "text": text[:_TEXT], "error": str(error), "fix": error.fix}
            self.rejects.append(reject)
        if self.rejected > _PATIENCE and self.failed:
            raise self._no_list()

    @property
    def failed(self) -> bool:
        """Whether this is not a list: it has no entries, or most of them were refused."""
        return self.rejected * 2 > self.lines or not self.lines

    def feed(self) -> Feed:
        """The collected list; RuleError if it has too many entries, or is not a list."""
        keys = self._compact()
        if not self.lines:
            raise RuleError(
                "the list is empty: it has no entries", "", "check the source of the list"
            )
        if self.failed:
            raise self._no_list()
        broad = np.frombuffer(self._broad, V4.dtype)
        return Feed(
            keys,
            self.lines,
            self._duplicates,
            self.rejected,
            self.rejects,
            broad,
            self._broad_lines,
        )

    def _no_list(self) -> RuleError:
        first = "; at ".join(
            f"{reject['line']}: {reject['error']}" for reject in self.rejects[:_SHOWN]
        )
        return RuleError(
            f"this does not look like a list of prefixes in the format {self.kind}: "
            f"{self.rejected} of {self.lines} entries were refused, the first at {first}",
            "",
            "check the source of the list, or name its format (and its column)",
        )

    def check_lines(self, data: bytes) -> None:
        """RuleError if there are more lines than a list of the maximum size needs."""
        if self._most is not None:
            self.check_count(data.count(b"\n"), _LINES * (self._most + _SLACK), "lines")

    def check_count(self, count: int, most: int, what: str) -> None:
        """RuleError if there are more than `most`."""
        if count > most:
            raise RuleError(
                f"the list has {count:,} {what}; at most {most:,} are read for "
                f"{self._most:,} entries",
                "",
                "use a shorter list, or raise the limit",
            )

    @property
    def room(self) -> int:
        """How many entries may be collected before duplicates must be removed."""
        return 1 << 62 if self._most is None else 2 * self._most + _SLACK

    def _compact(self) -> dict[int, Keys]:
        """Remove duplicates; RuleError if more than the maximum remain."""
        keys = {}
        for number, family in FAMILIES.items():
            raw = np.frombuffer(self._raw.pop(number), family.dtype)
            keys[number] = _unique(raw)
            self._duplicates += len(raw) - len(keys[number])
        broad = _unique(np.frombuffer(bytes(self._broad), V4.dtype))
        self._broad = bytearray(broad.tobytes())
        count = sum(map(len, keys.values())) + len(broad)
        if self._most is not None and count > self._most:
            raise RuleError(
                f"the list has at least {count} prefixes; at most {self._most} are allowed",
                "",
                "use a shorter list, or raise the limit",
            )
        self._raw = {number: bytearray(unique.tobytes()) for number, unique in keys.items()}
        self._room = self.room - count
        return keys


def _is_broad(pieces: list[Prefix]) -> bool:
    """Whether the prefixes of an IPv4 range cover more addresses than a /8."""
    return sum(1 << 32 - length for _, length in pieces) > _BROAD


def _unique(keys: Keys) -> Keys:
    """Sorted keys without duplicates; several times faster than numpy.unique on numbers."""
    keys = np.sort(keys)
    first = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return keys[first]
