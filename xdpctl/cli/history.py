# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that list changes, and undo them."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.cli import options, output
from xdpctl.cli.fleet import everywhere
from xdpctl.cli.formats import Format, printed
from xdpctl.cli.rules import meant
from xdpctl.client import SLOW_SECONDS, path

app = typer.Typer()
_SHOWN = 20


@app.command()
def history(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Show at most this many.")] = 20,
    of_fleet: Annotated[
        bool, typer.Option("--fleet", help="Of all nodes, in the last seven days.")
    ] = False,
    form: options.Output = Format.TABLE,
) -> None:
    """List the changes that people made, the newest first, with the numbers to undo them.

    Example: xdpctl history --limit 5
    """
    client = options.client(context)
    if of_fleet:
        return everywhere.history(client, limit, form)
    changes = client.call("GET", "/v1/history", params={"limit": limit})["changes"]
    if printed(changes, form):
        return None
    columns = (">change", "at", "by", "what", "on", ">records")
    rows = [_row(change) for change in changes]
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
_MadeOn = Annotated[
    str,
    typer.Option("--made-on", help="Node on which the change was made; see history --fleet."),
]
_Origin = Annotated[str | None, typer.Option(help="With --since: only rules of this detector.")]


@app.command()
def undo(
    context: typer.Context,
    number: _Number = None,
    since: _Since = None,
    origin: _Origin = None,
    made_on: _MadeOn = "",
    dry_run: options.DryRun = False,
    force: options.ForceChange = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Undo a change by its number, or remove the rules that detectors added.

    A change is undone as a whole: what it added is removed, and what it removed or changed is put
    back. Records that were changed again since then stay, and are listed. An undo is a change, too.

    Example: xdpctl undo 17
    """
    if (number is None) == (since is None):
        raise typer.BadParameter("give the number of a change (xdpctl history), or --since")
    client = options.client(context)
    if number is None:
        if dry_run or force or made_on:
            option = "--made-on" if made_on else "--dry-run" if dry_run else "--force"
            raise typer.BadParameter(f"{option} needs the number of a change")
        body = {"since": since} | ({"origin": origin} if origin else {})
        return _removed(client.call("POST", "/v1/automatic/undo", json=body), form)
    if origin:
        raise typer.BadParameter("--origin goes with --since")
    if made_on:
        if dry_run:
            raise typer.BadParameter("--dry-run is for a change that was made here")
        return everywhere.undo(client, made_on, number, force, form)
    where, query = path("history", str(number), "undo"), {"dry_run": dry_run, "force": force}

    def ask(extra: dict[str, Any]) -> dict[str, Any]:
        params = query | extra
        return dict(client.call("POST", where, seconds=SLOW_SECONDS, params=params))

    answer = meant.or_ask(ask, form)
    if not printed(answer, form):
        _undone(number, answer)
    if answer["kept"]:
        raise typer.Exit(1)
    return None


def _removed(answer: dict[str, Any], form: Format) -> None:
    if printed(answer, form):
        return
    number = output.plural(len(answer["removed"]), "rule", "rules")
    output.out.print(f"removed {number}{output.afterwards(answer)}")
    return None


def _undone(number: int, answer: dict[str, Any]) -> None:
    verb = "would put back" if answer["dry_run"] else "put back"
    records = output.plural(answer["restored"], "record", "records")
    if not answer["restored"] and not answer["kept"]:
        text = "nothing of it is left to undo: it was removed or has expired"
        return output.out.print(f"change {number}: {text}")
    output.out.print(f"change {number}: {verb} {records}{output.afterwards(answer)}")
    for reason in answer["reasons"][:_SHOWN]:
        output.err.print(f"  not put back: {escape(reason['subject'])}: {escape(reason['why'])}")
    if answer["kept"] > _SHOWN:
        output.err.print(f"  … and {answer['kept'] - _SHOWN:,} more; --json shows them")
