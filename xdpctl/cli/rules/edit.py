# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that change a rule: edit, and release, which lets a source pass for a while."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.cli.rules import meant
from xdpctl.cli.rules.rules import rule_path
from xdpctl.errors import RuleError
from xdpctl.model import effect as model
from xdpctl.model.rate import read_amount, read_per

app = typer.Typer()

_Ttl = Annotated[str | None, typer.Option(help="Ends this long from now: 15m; none: no expiry.")]
_Tag = Annotated[
    list[str] | None, typer.Option(help="Its tags from now on; may be given several times.")
]
_Per = Annotated[str, typer.Option(help="Of the limit: all, source, destination, source/24,/56.")]
_Spare = Annotated[model.Spare | None, typer.Option(help="known, established, trial, or none.")]


@app.command()
def edit(
    context: typer.Context,
    rule: options.RuleName,
    ttl: _Ttl = None,
    reason: Annotated[str | None, typer.Option(help="Its reason from now on.")] = None,
    tag: _Tag = None,
    action: Annotated[model.Action | None, typer.Option(help=f"{model.ACTIONS}.")] = None,
    mode: Annotated[model.Mode | None, typer.Option(help="enforce, or monitor to count.")] = None,
    pps: Annotated[str | None, typer.Option(help="Limit, in packets per second: 5k.")] = None,
    bps: Annotated[str | None, typer.Option(help="Limit, in bits per second: 100M.")] = None,
    per: _Per = "all",
    burst: Annotated[str, typer.Option(help="Of the limit: seconds at its rate.")] = "0.1",
    priority: Annotated[int | None, typer.Option(help="Lower is evaluated first.")] = None,
    spare: _Spare = None,
    force: options.ForceChange = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Change a rule in one step; what is not given stays.

    Example: xdpctl edit 203.0.113.0/24 --ttl 10m --reason "ticket 4711"
    """
    body: dict[str, Any] = {
        "reason": reason,
        "tags": tag,
        "action": action and action.value,
        "mode": mode and mode.value,
        "limit": limit_body(pps, bps, burst, per) if pps or bps else None,
        "priority": priority,
        "spare": spare and spare.value,
    }
    changes = {name: value for name, value in body.items() if value is not None}
    if ttl is not None:
        changes["ttl"] = None if ttl == "none" else ttl
    if not changes:
        raise typer.BadParameter("nothing to change: give --ttl, --reason, --mode …")
    changes |= {"force": True} if force else {}
    call, where = options.client(context).call, rule_path(rule)
    record = meant.or_ask(lambda extra: call("PATCH", where, json=changes | extra), form)
    if printed(record, form):
        return
    verb = "changed" if record["changed"] else "unchanged, it was so already"
    output.out.print(
        f"{verb}: {output.action(record)} {escape(output.where(record))}, {record['mode']}, "
        f"ends {output.ends(record)}{output.afterwards(record) if record['changed'] else ''}"
    )
    output.warnings(record)
    return None


@app.command()
def release(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="Address or prefix that is to pass.")],
    lasting: Annotated[str, typer.Option("--for", help="How long: 30m, 1h.")],
    ticket: Annotated[str, typer.Option(help="Number of the ticket, kept in the reason.")] = "",
    reason: options.Reason = "",
    form: options.Output = Format.TABLE,
) -> None:
    """Let a source pass for a while, whatever detectors report.

    Removes the rules of detectors on it. The release ends by itself; `xdpctl unblock` ends it
    earlier.

    Example: xdpctl release 203.0.113.7 --for 1h --ticket 4711
    """
    body = {"source": source, "ttl": lasting, "ticket": ticket, "reason": reason}
    rule = options.client(context).call("POST", "/v1/releases", json=body)
    if printed(rule, form):
        return
    removed = output.plural(rule["removed"], "rule of a detector", "rules of detectors")
    output.out.print(
        f"released: {escape(output.where(rule))} passes, ends {output.ends(rule)}; "
        f"{removed} removed{output.afterwards(rule)}"
    )
    output.warnings(rule)
    return None


def limit_body(pps: str | None, bps: str | None, burst: str, per: str) -> dict[str, Any]:
    """A limit as the API takes it."""
    rate = {"pps": number(pps, "pps"), "bps": number(bps, "bps"), "burst": burst, "per": _per(per)}
    return {key: value for key, value in rate.items() if value is not None}


def number(text: str | None, option: str) -> float | None:
    """Parse an amount such as `5000`, `5k`, `100M` or `1.5G`."""
    if text is None:
        return None
    try:
        return read_amount(text, option)
    except RuleError as error:
        raise typer.BadParameter(f"--{option} is {text!r}: {error.fix}") from None


def _per(text: str) -> str:
    try:
        read_per(text)
    except RuleError as error:
        raise typer.BadParameter(f"--per is {text!r}: {error.fix}") from None
    return text
