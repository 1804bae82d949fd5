# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for many rules: import from a file, export as NDJSON."""

import json
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.client import chunks
from xdpctl.model.rule import STANDING
from xdpctl.model.tags import ours

app = typer.Typer()
_NDJSON = "application/x-ndjson"
_SUFFIXES = {".csv": "text/csv", ".ndjson": _NDJSON, ".jsonl": _NDJSON}


class FileFormat(StrEnum):
    """The formats that `import` reads, as the command line names them."""

    PLAIN = "plain"
    CSV = "csv"
    NDJSON = "ndjson"

    @property
    def media_type(self) -> str:
        """The media type of the format, for the API."""
        return _SUFFIXES.get(f".{self.value}", "text/plain")


@app.command("import")
def import_rules(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(help="One prefix per line, CSV, or NDJSON; - for standard input.")
    ],
    kind: Annotated[
        FileFormat | None,
        typer.Option("--format", help="Format of the file; default: from its suffix."),
    ] = None,
    action: Annotated[str, typer.Option(help="Action of lines that do not name one.")] = "drop",
    monitor: options.Monitor = False,
    ttl: options.Ttl = None,
    reason: options.Reason = "",
    tag: options.Tags = None,
    dry_run: options.DryRun = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Import rules; bad lines are reported, all others are applied.

    Example: xdpctl import blocklist.csv --ttl 24h
    """
    path = Path("/dev/stdin") if str(file) == "-" else file
    if not path.exists() or path.is_dir():
        raise typer.BadParameter(f"there is no file {file}")
    media = kind.media_type if kind else _SUFFIXES.get(file.suffix, "text/plain")
    query = {"action": action, "reason": reason, "dry_run": dry_run, "ttl": ttl, "tag": tag}
    query["mode"] = "monitor" if monitor else "enforce"
    params = {k: v for k, v in query.items() if v not in (None, "", False)}
    bar = Progress("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bar.disable = not sys.stderr.isatty() or form.for_programs
    with bar:
        size = path.stat().st_size if path.is_file() else None
        task = bar.add_task(f"importing {file}", total=size)
        result = options.client(context).call(
            *("POST", "/v1/rules/bulk"),
            params=params,
            headers={"content-type": media},
            content=chunks(path, lambda n: bar.advance(task, n)),
        )
    imported(result, form)


def imported(result: dict[str, Any], form: Format) -> None:
    """Print the result of an import, and exit with 1 if some lines were refused."""
    if not printed(result, form):
        would = "would be " if result["dry_run"] else ""
        output.out.print(
            f"{result['added']} {would}added, {result['extended']} {would}extended, "
            f"{result['rejected']} rejected{output.afterwards(result)}"
        )
        output.rejects(result["rejects"], result["rejected"])
    if result["rejected"]:
        raise typer.Exit(1)


@app.command()
def export(
    context: typer.Context,
    origin: Annotated[str | None, typer.Option(help="Only rules of this origin.")] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Print only the sources, one per line.")
    ] = False,
) -> None:
    """Export rules as NDJSON that `import` can read; configured limits are left out.

    Example: xdpctl export > rules.ndjson
    """
    rules = options.client(context).pages(origin=origin)
    if plain:
        return _plain(rules)
    for rule in rules:
        if rule["origin"] in STANDING:
            continue
        record = {key: rule[key] for key in ("match", "action", "mode", "reason")}
        record["tags"] = [tag for tag in rule["tags"] if not ours(tag)]
        plain = rule["action"] in ("drop", "accept") and output.of_source(rule)
        if not plain or rule["spare"] != "none" or rule["priority"]:
            record |= {key: rule[key] for key in ("spare", "priority")}
        if rule["limit"]:
            record["limit"] = {k: v for k, v in rule["limit"].items() if v is not None}
        if rule["expires_in"] is not None:
            record["ttl"] = round(rule["expires_in"], 3)
        if rule["confirm_in"] is not None:
            record["confirm_within"] = round(rule["confirm_in"], 3)
        print(json.dumps(record))
    sys.stdout.flush()
    return None


def _plain(rules: Iterable[dict[str, Any]]) -> None:
    """Print the sources that are dropped: in a bare list, an accept would become a drop."""
    left_out = 0
    for rule in rules:
        if not output.of_source(rule) or rule["action"] != "drop" or rule["mode"] != "enforce":
            left_out += 1
        else:
            print(rule["match"]["source"])
    sys.stdout.flush()
    if left_out:
        rules_are = output.plural(left_out, "rule is", "rules are")
        output.err.print(
            f"{rules_are} not an enforced drop of a source, and left out: export without --plain"
        )
