# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for traffic that is expected: the embedded detector does nothing about it."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.base.durations import show_duration
from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.client import path
from xdpctl.errors import RuleError

app = typer.Typer()
expect_app = typer.Typer(
    help="Say what traffic is expected, so that the detector leaves it alone.",
    no_args_is_help=True,
)
app.add_typer(expect_app, name="expect")
_TIMES = "x"


_UpTo = Annotated[
    str,
    typer.Option(
        help="Up to so many times the threshold (5x), or packets a second (20000), of a kind."
    ),
]
_Destination = Annotated[
    str, typer.Option("--dst", help="Address or prefix; without it all that is protected.")
]
_Kind = Annotated[
    str,
    typer.Option(help="Kind of packets (udp, syn, ...); without it each, except those of answers."),
]
_At = Annotated[str, typer.Option(help="Time of day, of the host's zone: 8:15. Without it always.")]
_Days = Annotated[
    str, typer.Option(help="Days of the week, for example mon,tue; without it every day.")
]


@expect_app.command("add")
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of it: bell, exam, backup, ...")],
    up_to: _UpTo,
    destination: _Destination = "",
    kind: _Kind = "",
    at: _At = "",
    lasts: Annotated[str, typer.Option("--for", help="How long from then on: 10m, 2h.")] = "",
    days: _Days = "",
    on: Annotated[str, typer.Option(help="One date instead, for example 2026-12-01.")] = "",
    reason: Annotated[str, typer.Option(help="Why it is expected.")] = "",
    form: options.Output = Format.TABLE,
) -> None:
    """Expect traffic up to a rate, always or at times of the day.

    Below this rate the detector does nothing, even if the packets look forged.

    Example: xdpctl expect add bell --at 8:15 --for 10m --days mon,tue,wed,thu,fri --up-to 5x
    """
    body: dict[str, Any] = {
        "name": name,
        "destination": destination,
        "kind": kind,
        "at": at,
        "days": [each.strip().lower() for each in days.split(",") if each.strip()],
        "on": on,
        "reason": reason,
        **_most(up_to),
    }
    if lasts:
        body["lasts"] = lasts
    made = options.client(context).call("POST", "/v1/expectations", json=body)
    if printed(made, form):
        return
    output.out.print(f"expected: {escape(made['name'])}: {escape(made['text'])}, {_when(made)}")


def _most(text: str) -> dict[str, float]:
    """The most that is expected; RuleError if it is no number."""
    times = text.endswith(_TIMES)
    try:
        return {"times" if times else "pps": float(text.removesuffix(_TIMES).replace(",", ""))}
    except ValueError:
        raise RuleError(
            f"{text[:20]!r} is no rate", "up_to", "write 5x, or packets a second: 20000"
        ) from None


@expect_app.command("list")
def show(context: typer.Context, form: options.Output = Format.TABLE) -> None:
    """List what is expected.

    Example: xdpctl expect list
    """
    found = options.client(context).call("GET", "/v1/expectations")["expectations"]
    if printed(found, form):
        return
    columns = ("name", "expected", "when", "now", "by", "reason")
    rows = (
        (
            each["name"],
            each["text"],
            _when(each),
            "yes" if each["now"] else "",
            each["by"],
            each["reason"],
        )
        for each in found
    )
    if not output.table(columns, rows, form is Format.WIDE, ("reason", "by")):
        output.out.print("nothing is expected")


def _when(each: dict[str, Any]) -> str:
    if not each["at"]:
        return "always"
    days = each["on"] or ",".join(each["days"]) or "every day"
    return f"{days} at {each['at']} for {show_duration(each['lasts'])}"


@expect_app.command("remove")
def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of it, as `expect list` shows it.")],
    form: options.Output = Format.TABLE,
) -> None:
    """Remove an expectation.

    Example: xdpctl expect remove bell
    """
    gone = options.client(context).call("DELETE", path("expectations", name))
    if not printed(gone, form):
        output.out.print(f"not expected any more: {escape(name)}: {escape(gone['text'])}")
