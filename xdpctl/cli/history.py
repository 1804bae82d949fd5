# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for what was changed, and for undoing it."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.cli.rules import meant
from xdpctl.client import SLOW_SECONDS, path

app = typer.Typer()
_SHOWN = 20


@app.command()
def history(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Show at most this many.")] = 20,
    form: options.Output = Format.TABLE,
) -> None:
    """List the changes that people made, the newest first, with the numbers to undo them.

    Example: xdpctl history --limit 5
    """
    query = {"limit": limit}
    found = options.client(context).call("GET", "/v1/history", params=query)["changes"]
    if printed(found, form):
        return
    columns = (">change", "at", "by", "what", "on", ">records")
    rows = [_row(change) for change in found]
    if not output.table(columns, rows, form is Format.WIDE, (">records", "by")):
        output.out.print("nobody has changed anything yet")
    return None


def _row(change: dict[str, Any]) -> tuple[str, ...]:
    at = change["at"][:19].replace("T", " ")
    what = change["action"] + (f" of {change['undoes']}" if change["undoes"] else "")
    subject = change["subject"].replace("_", "/") or "-"
    return (str(change["number"]), at, change["actor"], what, subject, f"{change['records']:,}")


_Number = Annotated[
    int | None, typer.Argument(metavar="[CHANGE]", help="Number of a change; see history.")
]
_Since = Annotated[
    str | None,
    typer.Option(help="Instead: remove rules added automatically within this time: 10m, 2h."),
]
_Origin = Annotated[str | None, typer.Option(help="With --since: only rules of this detector.")]


@app.command()
def undo(
    context: typer.Context,
    number: _Number = None,
    since: _Since = None,
    origin: _Origin = None,
    dry_run: options.DryRun = False,
    force: options.ForceChange = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Undo a change by its number, or remove the rules that detectors added.

    A change is undone as a whole: what it added is removed, what it removed or changed is as it
    was. What was changed again since stays, and is named. An undo is a change too.

    Example: xdpctl undo 17
    """
    if (number is None) == (since is None):
        raise typer.BadParameter("give the number of a change (xdpctl history), or --since")
    client = options.client(context)
    if number is None:
        if dry_run:
            raise typer.BadParameter("--dry-run needs the number of a change")
        body = {"since": since} | ({"origin": origin} if origin else {})
        return _removed(client.call("POST", "/v1/automatic/undo", json=body), form)
    if origin:
        raise typer.BadParameter("--origin goes with --since")
    where, query = path("history", str(number), "undo"), {"dry_run": dry_run, "force": force}

    def ask(given: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = client.call(
            "POST", where, seconds=SLOW_SECONDS, params=query | given
        )
        return found

    found = meant.or_ask(ask, form)
    if not printed(found, form):
        _undone(number, found)
    if found["kept"]:
        raise typer.Exit(1)
    return None


def _removed(found: dict[str, Any], form: Format) -> None:
    if printed(found, form):
        return
    number = output.plural(len(found["removed"]), "rule", "rules")
    output.out.print(f"removed {number}{output.afterwards(found)}")
    return None


def _undone(number: int, found: dict[str, Any]) -> None:
    verb = "would put back" if found["dry_run"] else "put back"
    records = output.plural(found["restored"], "record", "records")
    if not found["restored"] and not found["kept"]:
        text = "nothing of it is left to undo: it was removed or has expired"
        return output.out.print(f"change {number}: {text}")
    output.out.print(f"change {number}: {verb} {records}{output.afterwards(found)}")
    for kept in found["reasons"][:_SHOWN]:
        output.err.print(f"  not put back: {escape(kept['subject'])}: {escape(kept['why'])}")
    if found["kept"] > _SHOWN:
        output.err.print(f"  … and {found['kept'] - _SHOWN:,} more; --json shows them")
