# SPDX-License-Identifier: GPL-2.0-or-later
"""Parser for lists of rules in plain lines, CSV or NDJSON. Pure and fast.

Each line is one rule; a bad line is reported and does not affect the others.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from xdpctl.base.durations import parse_duration
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.errors import RuleError
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.match import text as match_text
from xdpctl.model.match.match import Match, build
from xdpctl.model.rate import Rate, read_rate
from xdpctl.model.requests import RuleRequest, check_tags
from xdpctl.model.tags import given

COLUMNS = ("source", "action", "mode", "ttl", "reason", "tags")


E = TypeVar("E", bound=StrEnum)


class Format(StrEnum):
    """The formats, by media type."""

    PLAIN = "text/plain"
    CSV = "text/csv"
    NDJSON = "application/x-ndjson"


Line = tuple[int, str, RuleRequest | RuleError]


class _Limit(msgspec.Struct, forbid_unknown_fields=True):
    pps: float = 0.0
    bps: float = 0.0
    burst: float | str = 0.1
    per: str = "all"

    def rate(self) -> Rate:
        return read_rate(self.pps, self.bps, self.burst, self.per)


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    match: dict[str, Any] | str
    limit: _Limit | None = None
    spare: Spare | None = None
    priority: int | None = None
    action: Action | None = None
    mode: Mode | None = None
    ttl: float | str | None = None
    confirm_within: float | str | None = None
    reason: str | None = None
    tags: tuple[str, ...] | None = None
    force: bool = False
    replace: bool = False


_REMARK = re.compile("[;#]")
_decoder = msgspec.json.Decoder(_Line)


def _tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags; RuleError for those that xdpctl gives itself."""
    return given((), check_tags(tags))


def _is_prefix(text: str) -> bool:
    try:
        parse_prefix(text)
    except RuleError:
        return False
    return True


class Parser:
    """Parses lines as they arrive; keeps the line number and, for CSV, the header."""

    def __init__(self, kind: Format, defaults: RuleRequest) -> None:
        self.defaults = defaults
        self.line = 0
        self._columns: list[str] | None = None
        self._parse: Callable[[str], RuleRequest | None] = {
            Format.PLAIN: self._plain,
            Format.CSV: self._csv,
            Format.NDJSON: self._ndjson,
        }[kind]

    def feed(self, lines: Iterable[bytes]) -> Iterator[Line]:
        """Yield (number, text, outcome) for each line that is not empty, a comment or the header.

        The outcome is a request, or the RuleError of a line that cannot be read.
        """
        for raw in lines:
            self.line += 1
            try:
                text = raw.decode().strip().removeprefix("\ufeff")
            except UnicodeDecodeError:
                error = RuleError("the line is not UTF-8", "", "convert the file")
                yield self.line, raw.decode("latin-1")[:80], error
                continue
            if not text or text[0] in "#;":
                continue
            try:
                ask = self._parse(text)
            except RuleError as error:
                yield self.line, text, error
                continue
            if ask is not None:
                yield self.line, text, ask

    def _ask(self, source: Prefix) -> RuleRequest:
        d = self.defaults
        return RuleRequest(
            Match(source), d.action, d.mode, d.ttl, d.confirm_within, d.reason, d.tags
        )

    def _plain(self, text: str) -> RuleRequest:
        if text[0] == "{":  # NDJSON piped from `export`
            return self._ndjson(text)
        source, *rest = re.split(r"[\s,]+", _REMARK.split(text, maxsplit=1)[0])
        if rest and any(map(_is_prefix, rest)):
            raise RuleError(
                "there are several addresses on the line", "match.source", "write one per line"
            )
        return self._ask(parse_prefix(source))

    def _csv(self, text: str) -> RuleRequest | None:
        try:
            (row,) = csv.reader([text], strict=True)
        except csv.Error as error:
            raise RuleError(f"not CSV: {error}", "", "quote the field") from None
        if self._columns is None:
            self._columns = [cell.strip().lower() for cell in row]
            unknown = [c for c in self._columns if c not in COLUMNS]
            if "source" not in self._columns or unknown:
                raise RuleError(
                    f"the first line must name the columns; got {', '.join(self._columns)}",
                    "",
                    f"use source and any of {', '.join(COLUMNS[1:])}",
                )
            return None
        if len(row) > len(self._columns):
            raise RuleError(
                f"{len(row)} cells, and the first line names {len(self._columns)} columns",
                "",
                "quote a reason that has a comma",
            )
        fields = {k: v.strip() for k, v in zip(self._columns, row, strict=False) if v.strip()}
        return self._from_fields(fields)

    def _from_fields(self, fields: dict[str, str]) -> RuleRequest:
        ask = self._ask(parse_prefix(fields.get("source", "")))
        if len(fields) == 1:
            return ask
        return replace(
            ask,
            action=_member(Action, fields.get("action"), ask.action, "action"),
            mode=_member(Mode, fields.get("mode"), ask.mode, "mode"),
            ttl=parse_duration(fields["ttl"], "ttl") if "ttl" in fields else ask.ttl,
            reason=fields.get("reason", ask.reason),
            tags=_tags(fields["tags"].split()) if "tags" in fields else ask.tags,
        )

    def _ndjson(self, text: str) -> RuleRequest:
        try:
            line = _decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RuleError(
                str(error)[:200], "", 'write {"match": {"source": "..."}, ...}'
            ) from None
        ttl = _seconds(line.ttl, "ttl")
        ask = self.defaults
        common: dict[str, Any] = {
            "action": line.action or ask.action,
            "mode": line.mode or ask.mode,
            "ttl": ask.ttl if ttl is None else ttl,
            "confirm_within": _seconds(line.confirm_within, "confirm_within"),
            "reason": ask.reason if line.reason is None else line.reason,
            "tags": ask.tags if line.tags is None else _tags(line.tags),
        }
        if isinstance(line.match, str):
            line.match = match_text.parse(line.match).as_json()
        return RuleRequest(
            match=build(line.match),
            limit=line.limit.rate() if line.limit else None,
            spare=line.spare,
            priority=line.priority or 0,
            force=line.force,
            replace=line.replace,
            **common,
        )


def _seconds(value: float | str | None, field: str) -> float | None:
    return parse_duration(value, field) if isinstance(value, str) else value


def _member(kind: type[E], text: str | None, default: E, field: str) -> E:
    if text is None:
        return default
    try:
        return kind(text)
    except ValueError:
        choices = " or ".join(kind)
        raise RuleError(
            f"{text[:40]!r} is not a valid {field}", field, f"write {choices}"
        ) from None
