# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for existing rules: list, set the mode, confirm."""

from collections.abc import Iterable
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.cli.rules import meant
from xdpctl.client import PAGE, path
from xdpctl.errors import RuleError
from xdpctl.model.effect import ACTIONS, Action, Mode
from xdpctl.model.match import text
from xdpctl.model.match.match import id_of, key_named

app = typer.Typer()


class Sort(StrEnum):
    """The orders of a listing."""

    ADDRESS = "address"
    HITS = "hits"


def rule_path(rule: str, *more: str) -> str:
    """The API's path of a rule that a person names."""
    return path("rules", rule_identity(rule), *more)


def rule_identity(rule: str) -> str:
    """The id of a rule that is named by its id, its source, or its match as `list` shows it."""
    try:
        return id_of(key_named(rule))
    except RuleError:
        if " " not in rule:
            raise
        return text.parse(rule).id


@app.command("list")
def list_rules(
    context: typer.Context,
    action: Annotated[Action | None, typer.Option(help=f"Only this action: {ACTIONS}.")] = None,
    mode: Annotated[Mode | None, typer.Option(help="Only this mode: enforce or monitor.")] = None,
    origin: Annotated[str | None, typer.Option(help="Only rules of this origin.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only rules with this tag.")] = None,
    within: Annotated[str | None, typer.Option(help="Only rules inside this prefix.")] = None,
    covering: Annotated[
        str | None, typer.Option(help="Only rules that cover this address or prefix.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only rules added in this time: 10m.")] = None,
    sort: Annotated[
        Sort, typer.Option(help="hits: the rules with most hits first (at most 10,000).")
    ] = Sort.ADDRESS,
    limit: Annotated[int | None, typer.Option(min=1, help="Show at most this many.")] = None,
    form: options.Output = Format.TABLE,
) -> None:
    """List rules with their hits.

    Example: xdpctl list --sort hits --limit 20
    """
    filters = {"action": action, "mode": mode, "origin": origin, "tag": tag, "since": since}
    if sort is Sort.HITS:
        filters |= {"sort": sort.value}
    rules: Iterable[dict[str, Any]] = options.client(context).pages(
        **filters, within=within, covering=covering, limit=limit
    )
    rules = islice(rules, limit)
    if sort is Sort.HITS:
        rules = list(rules)
        if len(rules) == PAGE:
            output.err.print(f"note: these are the {PAGE:,} rules with most hits, not all rules")
    if form.for_programs and printed(list(rules), form):
        return
    if not output.rules_table(rules, form is Format.WIDE):
        output.out.print("no rules")


@app.command()
def mode(
    context: typer.Context,
    source: options.RuleName,
    mode: options.Mode,
    force: options.ForceChange = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Set the mode of a rule: enforce, or monitor to count only.

    Example: xdpctl mode 203.0.113.0/24 monitor
    """
    call, where = options.client(context).call, rule_path(source)
    body: dict[str, Any] = {"mode": mode.value}
    body |= {"force": True} if force else {}
    rule = meant.or_ask(lambda extra: call("PATCH", where, json=body | extra), form)
    if printed(rule, form):
        return
    output.out.print(f"{rule['action']} {escape(output.where(rule))}: {rule['mode']}")


@app.command()
def confirm(
    context: typer.Context, source: options.RuleName, form: options.Output = Format.TABLE
) -> None:
    """Confirm a provisional rule (--confirm-within), so that it stays.

    Example: xdpctl confirm 203.0.113.0/24
    """
    rule = options.client(context).call("POST", rule_path(source, "confirm"))
    if printed(rule, form):
        return
    verb = "confirmed" if rule["changed"] else "nothing to confirm"
    output.out.print(f"{verb}: {escape(output.where(rule))}, ends {output.ends(rule)}")
    output.warnings(rule)
