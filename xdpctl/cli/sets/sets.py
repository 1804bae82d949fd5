# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for sets: named lists of prefixes with one action."""

from typing import Annotated

import typer

from xdpctl.base.units import si
from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.cli.rules import meant, statistics
from xdpctl.cli.sets.put import (
    ActionOption,
    Aggregate,
    AllowPrivate,
    AtMost,
    Column,
    DryRun,
    FeedFile,
    FeedUrl,
    Force,
    FormatOption,
    ListFile,
    ListFormat,
    Monitor,
    Name,
    Reason,
    Refresh,
    SpareOption,
    WidenIpv4,
    WidenIpv6,
    choose,
    print_result,
    put_feed,
    put_list,
    read,
)
from xdpctl.cli.sets.shown import fields, summary
from xdpctl.client import SLOW_SECONDS, path

app = typer.Typer()
set_app = typer.Typer(no_args_is_help=True, help="Named lists of prefixes: feeds, countries.")
app.add_typer(set_app, name="set")
_ANSWER_SECONDS = 30.0  # seconds in addition to the time of sampling


@set_app.command("put")
def put(
    context: typer.Context,
    name: Name,
    file: ListFile = None,
    url: FeedUrl = None,
    local: FeedFile = None,
    refresh: Refresh = None,
    action: ActionOption = None,
    monitor: Monitor = None,
    reason: Reason = None,
    spare: SpareOption = None,
    format: FormatOption = ListFormat.AUTO,
    column: Column = "",
    allow_private: AllowPrivate = False,
    aggregate: Aggregate = False,
    widen_ipv4: WidenIpv4 = 0,
    widen_ipv6: WidenIpv6 = 0,
    at_most: AtMost = 0,
    force: Force = False,
    dry_run: DryRun = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Create a set, or replace the list of an existing one, without a gap in filtering.

    An existing set keeps its action, mode and reason where they are not given. Its feed is removed
    unless it is given again.

    Example: xdpctl set put drop --url https://www.spamhaus.org/drop/drop_v4.json --refresh 12h
    """
    if sum(value is not None for value in (file, url, local)) != 1:
        raise typer.BadParameter("give one of FILE, --url and --local")
    if file is not None and str(file).startswith(("http:/", "https:/")):
        raise typer.BadParameter("this is a URL, not a file: give it with --url")
    if file is not None and refresh is not None:
        raise typer.BadParameter("--refresh needs --url or --local: FILE is read only once")
    shaping = {
        "allow_private": allow_private,
        "aggregate": aggregate,
        "widen_ipv4": widen_ipv4,
        "widen_ipv6": widen_ipv6,
        "at_most": at_most,
    }
    choices = choose(action, monitor, reason, force, dry_run, spare)
    choices |= {key: value for key, value in shaping.items() if value}
    kind = {"format": format.value} | ({"column": column} if column else {})
    if file is not None:
        return put_list(context, name, read(file), choices | kind, form)
    location = {"url": url, "file": local, "refresh": refresh}
    feed = {key: value for key, value in location.items() if value is not None}
    put_feed(context, name, feed | kind, choices, form)


@set_app.command("list")
def list_sets(context: typer.Context, form: options.Output = Format.TABLE) -> None:
    """List sets with their sizes and hits.

    Example: xdpctl set list
    """
    sets = options.client(context).call("GET", "/v1/sets")["sets"]
    if printed(sets, form):
        return
    wide = form is Format.WIDE
    more = ("spare", "changed", "reason") if wide else ()
    columns = ("set", "action", "mode", ">IPv4", ">IPv6", ">packets", ">bytes", *more, "feed")
    if not output.table(columns, [summary(record, wide) for record in sets], wide):
        output.out.print("no sets")


@set_app.command("show")
def show_set(context: typer.Context, name: Name, form: options.Output = Format.TABLE) -> None:
    """Show one set with all its fields.

    Example: xdpctl set show drop
    """
    record = options.client(context).call("GET", path("sets", name))
    if printed(record, form):
        return
    output.fields(fields(record))
    statistics.details(record)


@set_app.command("entries")
def entries(context: typer.Context, name: Name) -> None:
    """Print the prefixes of a set, one per line.

    Example: xdpctl set entries drop
    """
    print(options.client(context).call("GET", path("sets", name, "entries")), end="")


@set_app.command("mode")
def mode(
    context: typer.Context,
    name: Name,
    mode: options.Mode,
    force: options.ForceChange = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Set the mode of a set, for all its entries at once.

    Example: xdpctl set mode drop monitor
    """
    call, where = options.client(context).call, path("sets", name)
    body = {"mode": mode.value} | ({"force": True} if force else {})
    record = meant.or_ask(lambda extra: call("PATCH", where, json=body | extra), form)
    if not printed(record, form):
        output.out.print(f"{record['name']}: {record['mode']}")


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


@set_app.command("top")
def top(
    context: typer.Context,
    name: Name,
    seconds: Annotated[float, typer.Option(help="Duration in seconds.")] = 5.0,
    every: Annotated[
        int, typer.Option(help="Sample one in this many packets; a power of two.")
    ] = 64,
    form: options.Output = Format.TABLE,
) -> None:
    """Show which entries of a set are hit, by sampling.

    Example: xdpctl set top drop
    """
    query = {"seconds": seconds, "every": every}
    client, where = options.client(context), path("sets", name, "top")
    answer = client.call("GET", where, seconds=seconds + _ANSWER_SECONDS, params=query)
    if printed(answer, form):
        return
    samples = output.plural(answer["samples"], "sample", "samples")
    line = f"{samples} in {answer['seconds']:.1f} s, one packet in {every}"
    output.out.print(line)
    for row in answer["entries"]:
        packets = si(row["packets"])
        output.out.print(f"  {row['prefix']:<20} {packets:>8} packets  {row['share']:6.1%}")


@set_app.command("remove")
@set_app.command("delete", hidden=True)
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
    output.out.print(f"removed: {record['action']} {record['name']}; it had hit {hits}")
