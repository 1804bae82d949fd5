# SPDX-License-Identifier: GPL-2.0-or-later
"""Creates, replaces or changes a set: the command, the request, and the printed result."""

import sys
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from xdpctl.base.units import si
from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.cli.rules import meant
from xdpctl.cli.sets import geo, shown
from xdpctl.cli.sets.choices import (
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
    Monitor,
    Name,
    OutOption,
    Reason,
    Refresh,
    SpareOption,
    WidenIpv4,
    WidenIpv6,
    choose,
)
from xdpctl.client import SLOW_SECONDS, Client, path
from xdpctl.errors import Refused, Unreachable
from xdpctl.model.feed_format import FeedFormat

_LISTS = "FILE, --url, --local, and --country or --asn"


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
    out: OutOption = False,
    format: FormatOption = FeedFormat.AUTO,
    column: Column = "",
    country: geo.Countries = None,
    asn: geo.Asns = None,
    inverted: geo.Except = False,
    database: geo.Databases = None,
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

    An existing set keeps its action, mode and reason where they are not given, and its direction.
    Its feed is removed unless it is given again. Without a list, only the mode, the reason, what it
    spares or --refresh of an existing set is changed. Countries and networks are read from a
    database on this machine.

    Example: xdpctl set put drop --url https://www.spamhaus.org/drop/drop_v4.json --refresh 12h
    """
    places = bool(country or asn)
    lists = sum((*(value is not None for value in (file, url, local)), places))
    if lists > 1:
        raise typer.BadParameter(f"give one of {_LISTS}")
    _check_read_once(file, places, refresh)
    _check_places(places, bool(inverted or database), bool(column) or format is not FeedFormat.AUTO)
    shaping = {
        "allow_private": allow_private,
        "aggregate": aggregate,
        "widen_ipv4": widen_ipv4,
        "widen_ipv6": widen_ipv6,
        "at_most": at_most,
    }
    choices = choose(action, monitor, reason, force, dry_run, spare, out)
    choices |= {key: value for key, value in shaping.items() if value}
    kind = {"format": format.value} | ({"column": column} if column else {})
    if not lists:
        if column or format is not FeedFormat.AUTO:
            choices |= kind
        return _change(context, name, choices | ({"refresh": refresh} if refresh else {}), form)
    if places:
        chosen = geo.Chosen(country, asn, inverted)
        lines, told = geo.listed(options.client(context), name, chosen, database)
        choices = ({"reason": told} if told and reason is None else {}) | choices
        return _put_list(context, name, lines, {**choices, "format": "plain"}, form)
    if file is not None:
        return _put_list(context, name, read(file), choices | kind, form)
    location = {"url": url, "file": local, "refresh": refresh}
    feed = {key: value for key, value in location.items() if value is not None}
    return _put(context, name, form, json={**choices, "feed": feed | kind})


def _check_read_once(file: Path | None, places: bool, refresh: str | None) -> None:
    """BadParameter for a URL as a file, or an interval for what is read once."""
    if file is not None and str(file).startswith(("http:/", "https:/")):
        raise typer.BadParameter("this is a URL, not a file: give it with --url")
    if (file is not None or places) and refresh is not None:
        raise typer.BadParameter("--refresh needs --url or --local: the list is read only once")


def _check_places(places: bool, of_places: bool, of_lists: bool) -> None:
    """BadParameter for options of countries without one, or of other lists with one."""
    if of_places and not places:
        raise typer.BadParameter("--except and --database go with --country or --asn")
    if places and of_lists:
        raise typer.BadParameter("--format and --column are for lists of others")


def _change(context: typer.Context, name: str, changes: dict[str, Any], form: Format) -> None:
    """Change a set, and keep its entries."""
    if "out" in changes:
        raise typer.BadParameter("an existing set keeps its direction: leave out --out")
    if unchangeable := changes.keys() - {"mode", "reason", "spare", "refresh", "force"}:
        options_ = ", ".join(f"--{each.replace('_', '-')}" for each in sorted(unchangeable))
        raise typer.BadParameter(f"{options_} needs a list: give one of {_LISTS}")
    if not changes.keys() - {"force"}:
        raise typer.BadParameter(f"give one of {_LISTS}; or --monitor, --enforce or --reason")
    call, where = options.client(context).call, path("sets", name)
    record = meant.or_ask(lambda extra: call("PATCH", where, json=changes | extra), form)
    if not printed(record, form):
        output.out.print(f"{record['name']}: {record['mode']}")


def read(path: Path) -> bytes:
    """A file's content, or standard input's."""
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from None


def _put_list(
    context: typer.Context, name: str, data: bytes, choices: dict[str, Any], form: Format
) -> None:
    """PUT a list as the request body, and print the result."""
    headers = {"content-type": "application/octet-stream"}
    _put(context, name, form, params=choices, content=data, headers=headers)


def _put(context: typer.Context, name: str, form: Format, **how: Any) -> None:
    client = options.client(context)
    try:
        result = client.call("PUT", path("sets", name), seconds=SLOW_SECONDS, **how)
    except Refused as refused:
        raise Refused({**refused.problem, "stands": _standing(client, name)}) from None
    if not printed(result, form):
        print_result(result)


def _standing(client: Client, name: str) -> str:
    """The state of a set after a refused PUT, as text; empty if it is not known."""
    try:
        entries = client.call("GET", path("sets", name))["entries"]
    except Refused as refused:
        return f"there is no set {name}" if refused.problem.get("status") == 404 else ""
    except Unreachable:
        return ""
    number = output.plural(sum(entries.values()), "entry", "entries")
    return f"the set {name} is unchanged, with {number}"


_NOTES = {
    "rejected": "lines rejected",
    "duplicates": "duplicates",
    "too_wide": "left out, too wide for a list (wider than /8, IPv6 /16)",
    "private": "left out, private or special-purpose (--allow-private keeps them)",
    "protected": "not applied, inside protected prefixes",
    "saved": "entries saved by merging",
    "extra_addresses": "addresses in the set that are not in the list",
}
_ADDRESSES = {"protected": "protected_addresses"}


def print_result(result: dict[str, Any]) -> None:
    """Print the result of a PUT or a refresh: changes, warnings, and rejected lines."""
    report = result["report"]
    verb = "would be " if result["dry_run"] else ""
    verb += "created" if result["created"] else "replaced" if result["changed"] else "unchanged"
    mode = " (monitor: counts only)" if result["mode"] == "monitor" else ""
    output.out.print(
        f"{verb}: {shown.action(result)} {result['name']}{mode}, "
        f"{output.plural(report['entries'], 'entry', 'entries')}: "
        f"{report['added']:,} added, {report['removed']:,} removed"
        + ("" if result["dry_run"] or not result["changed"] else output.afterwards(result))
    )
    for warning in result["warnings"]:
        output.err.print(f"[yellow]note:[/yellow] {escape(warning)}", soft_wrap=True)
    for key, text in _NOTES.items():
        if report.get(key):
            addresses = report.get(_ADDRESSES.get(key, ""))
            more = f" ({si(addresses)} IPv4 addresses)" if addresses else ""
            output.err.print(f"[yellow]note:[/yellow] {text}: {report[key]:,}{more}")
    if left_out := report.get("left_out_addresses"):
        output.err.print(
            f"[yellow]note:[/yellow] the list names {si(left_out)} IPv4 addresses that the set "
            "does not have"
        )
    output.rejects(result["rejects"], report.get("rejected", 0))
