# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists that are tables: CSV and DShield's block list. Each line is one row."""

import csv
import re
from collections.abc import Callable
from itertools import islice

from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import RuleError
from xdpctl.lists.formats.entries import NAMES, is_entry, numbered, parse_entry, plain_name
from xdpctl.lists.formats.feed import Gathering

DSHIELD_TITLE = "start\tend"
_DELIMITERS = ",;\t|"
_LOOKED = 1000  # columns that are searched for the entries


def read_csv(data: bytes, column: str | None, into: Gathering) -> None:
    """Read CSV; the first row has the names of the columns if none of its cells is an entry.

    RuleError if there is no column of entries.
    """
    parse: Callable[[str], list[Prefix]] | None = None
    for number, text in numbered(data, into.refuse):
        if parse is None:
            delimiter = _delimiter(text)
            try:
                first = cells_of(text, delimiter)
            except RuleError as error:
                into.refuse(number, text, error)
                continue
            has_names = not any(map(is_entry, islice(first, _LOOKED)))
            parse = _parser(_column(first, column, has_names), delimiter)
            if has_names:
                continue
        into.take(number, text, parse)


def cells_of(text: str, delimiter: str = "") -> list[str]:
    """The cells of a row, without quotes; RuleError if the row is not valid CSV."""
    if '"' not in text:
        return text.split(delimiter or _delimiter(text))
    kind = delimiter or _delimiter(text)
    try:
        (cells,) = csv.reader([text], delimiter=kind, strict=True, skipinitialspace=True)
    except csv.Error as error:
        raise RuleError(f"not CSV: {error}", "", "write each row in one line") from None
    return cells


def _delimiter(text: str) -> str:
    return max(_DELIMITERS, key=text.count)


def _parser(index: int, delimiter: str) -> Callable[[str], list[Prefix]]:
    def parse(text: str) -> list[Prefix]:
        cells = cells_of(text, delimiter)
        if len(cells) <= index:
            problem = f"the row has {len(cells)} columns; the entry is expected in {index + 1}"
            raise RuleError(problem, "", f"separate {index + 1} columns by {delimiter!r}")
        return parse_entry(cells[index])

    return parse


def _column(first: list[str], column: str | None, has_names: bool) -> int:
    """The index of the column with the entries, from 0."""
    names = [plain_name(cell) for cell in first] if has_names else []
    if column is None:
        if not has_names:
            return next(i for i, cell in enumerate(first) if is_entry(cell))
        places = [names.index(name) for name in NAMES if name in names]
        if places:
            return places[0]
        raise _missing("no column of a known name", first)
    if plain_name(column) in names:
        return names.index(plain_name(column))
    number = int(column) if re.fullmatch("[0-9]{1,6}", column) else 0
    if 1 <= number <= len(first):
        return number - 1
    if has_names:
        raise _missing(f"no column {column[:40]!r}", first)
    problem = f"the columns have no names, so none is {column[:40]!r}"
    if number:
        problem = f"there is no column {column}: the first row has {len(first)}"
    raise RuleError(problem, "column", f"name it by number, 1 to {len(first)}")


def _missing(problem: str, first: list[str]) -> RuleError:
    there = ", ".join(cell.strip()[:40] for cell in first[:30])
    return RuleError(f"the list has {problem}; it has {there}", "column", "name one of those")


def read_dshield(data: bytes, into: Gathering) -> None:
    """Read the network of each line of DShield's block list, except the title line."""
    for number, text in numbered(data, into.refuse):
        if not text.lower().startswith(DSHIELD_TITLE):
            into.take(number, text, _parse_dshield)


def _parse_dshield(text: str) -> list[Prefix]:
    """The prefix of a line `start end length ...`; RuleError if the three do not agree."""
    cells = text.split("\t")
    if len(cells) < 3:
        raise RuleError(
            f"the line has {len(cells)} columns of a DShield block list, not three or more",
            "",
            "write start, end and netmask length, separated by tabs",
        )
    start, end, length = (cell.strip() for cell in cells[:3])
    prefixes = parse_entry(f"{start}/{length}")
    if prefixes != parse_entry(f"{start}-{end}"):
        problem = f"{start}/{length} does not end at {end[:40]}"
        raise RuleError(problem, "", "correct the end or the netmask length")
    return prefixes
