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
        help="Most that is expected of a kind: times its threshold (5x), or packets/s (20000)."
    ),
]
_Destination = Annotated[
    str, typer.Option("--dst", help="Address or prefix; default: all that is protected.")
]
_Kind = Annotated[
    str,
    typer.Option(help="Kind of packets (udp, syn, ...); default: every kind that is not answers."),
]
_At = Annotated[
    str, typer.Option(help="Time of day in the host's time zone: 8:15; default: always.")
]
_Days = Annotated[
    str, typer.Option(help="Days of the week, for example mon,tue; default: every day.")
]


@expect_app.command("add")
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the expectation: bell, exam, ...")],
    up_to: _UpTo,
    destination: _Destination = "",
    kind: _Kind = "",
    at: _At = "",
    lasts: Annotated[str, typer.Option("--for", help="Duration, from --at on: 10m, 2h.")] = "",
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
        "days": [day.strip().lower() for day in days.split(",") if day.strip()],
        "on": on,
        "reason": reason,
        **_most(up_to),
    }
    if lasts:
        body["lasts"] = lasts
    expectation = options.client(context).call("POST", "/v1/expectations", json=body)
    if printed(expectation, form):
        return
    text = f"{expectation['name']}: {expectation['text']}"
    output.out.print(f"expected: {escape(text)}, {_when(expectation)}")


def _most(text: str) -> dict[str, float]:
    """The rate up to which traffic is expected; RuleError if it is not a number."""
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
    expectations = options.client(context).call("GET", "/v1/expectations")["expectations"]
    if printed(expectations, form):
        return
    columns = ("name", "expected", "when", "now", "by", "reason")
    rows = (
        (
            expectation["name"],
            expectation["text"],
            _when(expectation),
            "yes" if expectation["now"] else "",
            expectation["by"],
            expectation["reason"],
        )
        for expectation in expectations
    )
    if not output.table(columns, rows, form is Format.WIDE, ("reason", "by")):
        output.out.print("nothing is expected")


def _when(expectation: dict[str, Any]) -> str:
    if not expectation["at"]:
        return "always"
    days = expectation["on"] or ",".join(expectation["days"]) or "every day"
    return f"{days} at {expectation['at']} for {show_duration(expectation['lasts'])}"


@expect_app.command("remove")
def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the expectation; see `expect list`.")],
    form: options.Output = Format.TABLE,
) -> None:
    """Remove an expectation.

    Example: xdpctl expect remove bell
    """
    gone = options.client(context).call("DELETE", path("expectations", name))
    if not printed(gone, form):
        output.out.print(f"not expected any more: {escape(name)}: {escape(gone['text'])}")
