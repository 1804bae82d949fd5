# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for sets: named lists of prefixes with one action."""

from typing import Annotated, Any

import typer

from xdpctl.base.units import si
from xdpctl.cli import completion, options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.cli.rules import meant, statistics
from xdpctl.cli.sets.choices import Force, Name
from xdpctl.cli.sets.put import print_result, put
from xdpctl.cli.sets.shown import action, fields, summary
from xdpctl.client import SLOW_SECONDS, path
from xdpctl.model.names import check_name

app = typer.Typer()
set_app = typer.Typer(no_args_is_help=True, help="Named lists of prefixes: feeds, countries.")
app.add_typer(set_app, name="set")
set_app.command("put")(put)
_SECONDS, _EVERY = 5.0, 64  # of sampling
_ANSWER_SECONDS = 30.0  # seconds in addition to the time of sampling


_Which = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="Show this set, with all its fields.",
        autocompletion=completion.sets,
    ),
]
_Entries = Annotated[bool, typer.Option("--entries", help="Print its prefixes, one per line.")]
_Top = Annotated[
    bool, typer.Option("--top", help="Show which of its entries are hit, by sampling.")
]
_Seconds = Annotated[float, typer.Option(help="With --top: for how many seconds.")]
_Every = Annotated[
    int, typer.Option(help="With --top: sample one in this many packets; a power of two.")
]


@set_app.command("list")
def list_sets(
    context: typer.Context,
    name: _Which = None,
    entries: _Entries = False,
    top: _Top = False,
    seconds: _Seconds = _SECONDS,
    every: _Every = _EVERY,
    form: options.Output = Format.TABLE,
) -> None:
    """List sets with their sizes and hits, or show one.

    Example: xdpctl set list drop --top
    """
    client = options.client(context)
    if entries and top:
        raise typer.BadParameter("give either --entries or --top")
    if name is None:
        if entries or top:
            raise typer.BadParameter("--entries and --top need the NAME of a set")
        return _all(client.call("GET", "/v1/sets")["sets"], form)
    where = path("sets", check_name(name, "name"))
    if (seconds, every) != (_SECONDS, _EVERY) and not top:
        raise typer.BadParameter("--seconds and --every go with --top")
    if entries:
        text = client.call("GET", f"{where}/entries")
        if not printed(text.split(), form):
            print(text, end="")
    elif top:
        query = {"seconds": seconds, "every": every}
        wait = seconds + _ANSWER_SECONDS
        _top(client.call("GET", f"{where}/top", seconds=wait, params=query), every, form)
    elif not printed(record := client.call("GET", where), form):
        output.fields(fields(record))
        if not record["out"]:
            statistics.details(record)
    return None


def _all(sets: list[dict[str, Any]], form: Format) -> None:
    if printed(sets, form):
        return
    wide = form is Format.WIDE
    more = ("spare", "changed", "reason") if wide else ()
    columns = ("set", "action", "mode", ">IPv4", ">IPv6", ">packets", ">bytes", *more, "feed")
    if not output.table(columns, [summary(record, wide) for record in sets], wide):
        output.out.print("no sets")


def _top(answer: dict[str, Any], every: int, form: Format) -> None:
    if printed(answer, form):
        return
    samples = output.plural(answer["samples"], "sample", "samples")
    output.out.print(f"{samples} in {answer['seconds']:.1f} s, one packet in {every}")
    for row in answer["entries"]:
        packets = si(row["packets"])
        output.out.print(f"  {row['prefix']:<20} {packets:>8} packets  {row['share']:6.1%}")


@set_app.command("refresh")
def refresh(
    context: typer.Context, name: Name, force: Force = False, form: options.Output = Format.TABLE
) -> None:
    """Refresh the feed of a set now.

    Example: xdpctl set refresh drop
    """
    client, where = options.client(context), path("sets", name, "refresh")
    record = client.call("POST", where, seconds=SLOW_SECONDS, params={"force": force})
    if printed(record, form):
        return
    if record["changed"]:
        return print_result(record)
    output.out.print(f"{record['name']}: nothing new")
    output.rejects(record["rejects"], len(record["rejects"]))


@set_app.command("remove")
def remove(
    context: typer.Context,
    name: Name,
    force: options.ForceChange = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Remove a set, with all its entries at once.

    Example: xdpctl set remove drop
    """
    call, where = options.client(context).call, path("sets", name)
    forced = {"force": True} if force else {}
    record = meant.or_ask(lambda extra: call("DELETE", where, params=forced | extra), form)
    if printed(record, form):
        return
    hits = f"{si(record['packets'])} packets"
    output.out.print(f"removed: {action(record)} {record['name']}; it had hit {hits}")
