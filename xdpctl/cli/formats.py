# SPDX-License-Identifier: GPL-2.0-or-later
"""The formats of output: tables for people; JSON, YAML and CSV for programs.

`--json` means `-o json`: every command that takes `-o` takes it, too.
"""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Any

import msgspec
import typer
from typer.core import TyperOption

from xdpctl.base.spreadsheet import cell

_CHOSEN = "xdpctl.json"  # key in the context of a command: the user gave --json


class Format(StrEnum):
    """How a command prints its result."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"

    @property
    def for_programs(self) -> bool:
        """Whether a program reads the output. Then standard output may have nothing else."""
        return self not in (Format.TABLE, Format.WIDE)


def chosen(context: typer.Context, form: Format) -> Format:
    """The format that was asked for, by either option."""
    return Format.JSON if context.meta.get(_CHOSEN) else form


def with_json(command: Any) -> Any:
    """Add `--json` to each command that takes `-o`; return the same command or group."""
    for subcommand in getattr(command, "commands", {}).values():
        with_json(subcommand)
    if any(parameter.name == "form" for parameter in command.params):
        command.params.append(
            TyperOption(
                param_decls=["--json"],
                is_flag=True,
                default=False,
                expose_value=False,
                is_eager=True,
                callback=_json_chosen,
                help="The same as -o json.",
            )
        )
    return command


def _json_chosen(context: typer.Context, _: Any, value: bool) -> None:
    context.meta[_CHOSEN] = value


def wanted_by(arguments: Sequence[str]) -> bool:
    """Whether a command line asks for JSON, even if the rest of it is wrong."""
    short = any(pair in (("-o", "json"), ("--output", "json")) for pair in pairwise(arguments))
    return short or any(argument in ("--json", "-ojson", "--output=json") for argument in arguments)


def printed(value: Any, form: Format) -> bool:
    """Print a value as one document if the format is for programs; return whether it is."""
    if form is Format.JSON:
        # the standard library's own indentation takes ten times as long
        sys.stdout.write(msgspec.json.format(json.dumps(value), indent=2) + "\n")
    elif form is Format.YAML:
        import yaml  # late: few need it

        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        yaml.dump(value, sys.stdout, dumper, sort_keys=False, allow_unicode=False, width=1 << 30)
    elif form is Format.CSV:
        _rows(value if isinstance(value, list) else [value])
    return form.for_programs


class Lines:
    """Prints values as they come: NDJSON, YAML documents, or CSV with the first one's columns."""

    def __init__(self, form: Format) -> None:
        self._form = form
        self._columns: list[str] = []

    def print(self, value: Mapping[str, Any]) -> None:
        """Print one value at once."""
        if self._form is Format.CSV:
            flat, writer = _flat(value), csv.writer(sys.stdout, lineterminator="\n")
            if not self._columns:
                self._columns = list(flat)
                writer.writerow(self._columns)
            writer.writerow([flat.get(column, "") for column in self._columns])
        elif self._form is Format.YAML:
            sys.stdout.write("---\n")
            printed(value, self._form)
        else:
            sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()


def _rows(values: Sequence[Any]) -> None:
    """CSV with a line of names; nested fields are named with dots, lists are joined by spaces.

    Text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    flat = [_flat(value) for value in values]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    writer = csv.DictWriter(sys.stdout, columns, restval="", lineterminator="\n")
    if columns:
        writer.writeheader()
    writer.writerows(flat)


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """A value as one row."""
    if isinstance(value, Mapping):
        row: dict[str, Any] = {}
        for key, inner in value.items():
            row |= _flat(inner, f"{name}.{key}" if name else str(key))
        return row
    if isinstance(value, list):
        plain = all(not isinstance(item, Mapping | list) for item in value)
        return {name or "value": cell(" ".join(map(str, value))) if plain else json.dumps(value)}
    shown = "" if value is None else str(value).lower() if isinstance(value, bool) else value
    shown = cell(shown) if isinstance(shown, str) else shown
    return {name or "value": shown}
