# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that removes rules: one, several, or all that match."""

import sys
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.base.units import si
from xdpctl.cli import completion, options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.cli.rules import meant
from xdpctl.cli.rules.rules import rule_identity, rule_path
from xdpctl.client import SLOW_SECONDS, Client
from xdpctl.errors import Refused
from xdpctl.model.rule import STANDING

app = typer.Typer()
_NAMED = 10
Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RULE]...",
        help="Source, id or match of each rule.",
        autocompletion=completion.rules,
    ),
]


@app.command()
def unblock(
    context: typer.Context,
    rules: Sources = None,
    tag: Annotated[str | None, typer.Option(help="All rules with this tag.")] = None,
    origin: Annotated[str | None, typer.Option(help="All rules of this origin.")] = None,
    within: Annotated[str | None, typer.Option(help="All rules inside this prefix.")] = None,
    since: Annotated[
        str | None, typer.Option(help="All rules added within this time: 10m.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All rules.")] = False,
    dry_run: options.DryRun = False,
    yes: options.Yes = False,
    force: options.ForceChange = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Remove rules: those named, or all that match every given option.

    Before it removes rules that are not named, it shows how many and asks; --yes does not ask.

    Example: xdpctl unblock --tag import-2026-11-26 --dry-run
    """
    filters = {"tag": tag, "origin": origin, "within": within, "since": since}
    filtered = everything or any(value is not None for value in filters.values())
    if not filtered and not rules:
        raise typer.BadParameter("name a rule, or give --tag, --origin, --within, --since or --all")
    client = options.client(context)
    if rules and len(rules) == 1 and not filtered and not dry_run:
        return _one(client, rules[0], force, form)
    query: dict[str, Any] = {**filters, "all": everything or None, "force": force or None}
    query["id"] = [rule_identity(rule) for rule in rules or ()] or None
    _many(client, query, ask=filtered and not yes, dry_run=dry_run, form=form)
    return None


def _one(client: Client, rule: str, force: bool, form: Format) -> None:
    path, forced = rule_path(rule), {"force": True} if force else {}
    gone = meant.or_ask(lambda extra: client.call("DELETE", path, params=forced | extra), form)
    if printed(gone, form):
        return
    hits = f"{si(gone['packets'])} packets"
    output.out.print(
        f"removed: {gone['action']} {escape(output.where(gone))}; it had hit {hits}"
        + output.afterwards(gone)
    )
    if gone["origin"] in STANDING:
        output.err.print(
            "[yellow]note:[/yellow] it is in the configuration file and returns at the next start"
        )
    return None


def _many(client: Client, query: dict[str, Any], ask: bool, dry_run: bool, form: Format) -> None:
    answer = _call(client, {**query, "dry_run": True})
    if not dry_run and answer["rules"]:
        if ask:
            _confirm(answer)
        counted = {**query, "count": answer["rules"]}
        answer = meant.or_ask(lambda extra: _call(client, counted | extra), form)
    if not printed(answer, form):
        _tell(answer, dry_run)
    if answer["missing"]:
        raise typer.Exit(1)


def _call(client: Client, query: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = client.call("DELETE", "/v1/rules", seconds=SLOW_SECONDS, params=query)
    return answer


def _confirm(answer: dict[str, Any]) -> None:
    _name(answer)
    question = f"Remove {output.plural(answer['rules'], 'rule', 'rules')}?"
    if not sys.stdin.isatty():
        raise Refused({"detail": f"{question} Nobody can answer here", "fix": "give --yes"})
    typer.confirm(question, abort=True, err=True)


def _name(answer: dict[str, Any]) -> None:
    for rule in answer["first"][:_NAMED]:
        output.err.print(f"  {rule['action']} {rule['text']}", markup=False, soft_wrap=True)
    if answer["rules"] > _NAMED:
        output.err.print(f"  … and {answer['rules'] - _NAMED:,} more")


def _tell(answer: dict[str, Any], dry_run: bool) -> None:
    verb = "would remove" if dry_run else "removed"
    if dry_run:
        _name(answer)
    number = output.plural(answer["rules"], "rule", "rules")
    output.out.print(f"{verb} {number}{output.afterwards(answer)}")
    for identity in answer["missing"]:
        output.err.print(f"there is no rule {identity.replace('_', '/')}", markup=False)
