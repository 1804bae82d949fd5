# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for the box: status, audit log, tokens, notifications."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.base.durations import show_duration
from xdpctl.base.units import si
from xdpctl.cli import options, output, waiting
from xdpctl.cli.formats import Format, printed
from xdpctl.client import SLOW_SECONDS, path
from xdpctl.model.identity import Role
from xdpctl.model.names import check_name

app = typer.Typer()
_FLOWS = {
    "asked": "known flows are told apart",
    "not_asked": "known flows are not told apart",
    "asymmetric": "known flows are not told apart (asymmetric routing)",
}
_LISTED = 10  # items printed of a list in an audit record
token_app = typer.Typer(
    no_args_is_help=True, help="Tokens for the API over TCP: create, list, revoke."
)
notify_app = typer.Typer(no_args_is_help=True, help="Notifications.")
app.add_typer(token_app, name="token")
app.add_typer(notify_app, name="notify")


@app.command()
def status(context: typer.Context, form: options.Output = Format.TABLE) -> None:
    """Show interfaces, tables, traffic by reason, warnings and problems.

    Example: xdpctl status
    """
    client = options.client(context)
    report = client.call("GET", "/v1/status")
    traffic = client.call("GET", "/v1/counters")
    word = waiting.word(client)
    if printed({**report, "counters": traffic, "condition": word}, form):
        return
    memory = sum(report["kernel_memory"].values()) / 2**20
    lines = {
        "now": f"{word['state']}: {escape('; '.join(word['reasons']))}",
        "version": f"{report['version']}, up {show_duration(report['uptime'])}",
        **{
            table["name"]: f"{table['used']:,} of {table['capacity']:,} ({table['fill']:.1%})"
            for table in report["tables"]
            if table["used"] or table["name"] == "rules"
        },
        "kernel memory": f"{memory:.0f} MiB",
        "protected": output.plural(len(report["protected"]), "prefix", "prefixes"),
        "bypass": "[red]ON: everything passes[/red]" if report["bypass"] else "off",
    }
    if report["expected"]:
        lines["expected now"] = escape("; ".join(report["expected"]))
    lines |= _memories(report)
    lines |= {name: _interface(port) for name, port in report["interfaces"].items()}
    output.fields(lines)
    waiting.proposals(word["waiting"])
    for reason, hits in traffic["total"].items():
        if hits["packets"]:
            output.out.print(f"  {reason:<16} {si(hits['packets']):>8} packets")
    for warning in report["warnings"]:
        output.err.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    for problem in report["problems"]:
        output.err.print(f"[red]problem:[/red] {escape(problem)}")


def _interface(port: dict[str, Any]) -> str:
    mode = f" {port['mode']}" if port["mode"] else ""
    line = f"{port['state']}{mode}" + (f", {escape(port['detail'])}" if port["detail"] else "")
    if port.get("taken_off"):
        times = output.plural(port["taken_off"], "time", "times")
        line += f"; [red]somebody took the filter off {times}[/red]"
    if port.get("outside"):
        line += f"; outside, {_FLOWS[port['flows']]}"
    return line


def _memories(report: dict[str, Any]) -> dict[str, str]:
    """The flow memory, and the challenges if there were any."""
    lines = {}
    if memory := report["flow_memory"]:
        lines["flow memory"] = (
            f"{memory['used']:,} of {memory['capacity']:,} flows ({memory['fill']:.1%}), "
            f"{memory['bytes'] / 2**20:.1f} MiB; "
            f"about {memory['false_pass']:.2%} of unknown packets pass"
        )
    challenges = report["challenges"]
    if challenges["sent"] or challenges["withheld"]:
        lines["challenges"] = (
            f"{si(challenges['sent'])} sent, {si(challenges['withheld'])} withheld, "
            f"{si(challenges['right'])} answered"
        )
    return lines


@notify_app.command("test")
def notify_test(context: typer.Context, form: options.Output = Format.TABLE) -> None:
    """Send a test message to each of notify.urls and notify.webhooks; show which accepted it.

    Example: xdpctl notify test
    """
    call = options.client(context).call
    outcomes = call("POST", "/v1/notifications/test", seconds=SLOW_SECONDS)["taken"]
    if printed(outcomes, form):
        pass
    elif not outcomes:
        output.out.print("notify.urls and notify.webhooks are empty: no notifications are sent")
    else:
        for name, accepted in outcomes.items():
            output.out.print(
                f"{name} {'accepted it' if accepted else 'did not accept it'}", markup=False
            )
    if not all(outcomes.values()):
        raise typer.Exit(1)


_Most = Annotated[int, typer.Option(min=1, max=5000, help="Show at most this many.")]
_Since = Annotated[str | None, typer.Option(help="Only changes within this time: 10m.")]
_Actor = Annotated[str | None, typer.Option(help="Only changes by this user or token.")]
_Action = Annotated[
    str | None, typer.Option(help="Only this action: rule.add; or all of a kind: rule.")
]
_Changed = Annotated[
    str | None, typer.Option("--object", help="Only changes of this rule (id) or set.")
]
_Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Verify the hash chain and its signed head; exits with 1 if a record was changed, "
        "removed or inserted, or if the log's end is missing.",
    ),
]


@app.command()
def audit(
    context: typer.Context,
    limit: _Most = 50,
    since: _Since = None,
    actor: _Actor = None,
    action: _Action = None,
    changed: _Changed = None,
    verify: _Verify = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Show the audit log: who changed what, and when; or verify it.

    Example: xdpctl audit --since 1h --action rule.
    """
    if verify:
        if since or actor or action or changed:
            raise typer.BadParameter("--verify is of the whole log: leave the other options out")
        return _verify(options.client(context).call("GET", "/v1/audit/verify"), form)
    query = {"limit": limit, "last": True, "since": since, "actor": actor, "action": action}
    query["object"] = changed.replace("/", "_") if changed else None
    params = {name: value for name, value in query.items() if value is not None}
    records = options.client(context).call("GET", "/v1/audit", params=params)["records"]
    if printed(records, form):
        return None
    for record in records:
        fields = {k: v for k, v in record["detail"].items() if v not in (None, "")}
        detail = ", ".join(f"{name} {_shown(value)}" for name, value in fields.items())
        who_did_what = [record[name] for name in ("at", "actor", "action", "subject")]
        output.out.print("  ".join([*who_did_what, detail]), markup=False, soft_wrap=True)
    return None


def _shown(value: object) -> str:
    """A value of a record as text; of a list the first items, without brackets."""
    if not isinstance(value, list):
        return str(value)
    more = f" and {len(value) - _LISTED:,} more" if len(value) > _LISTED else ""
    return " ".join(map(str, value[:_LISTED])) + more


def _verify(result: dict[str, Any], form: Format) -> None:
    if printed(result, form):
        pass
    elif result["problem"]:
        output.err.print(f"[red]tampered with:[/red] {result['problem']}")
    else:
        records = output.plural(result["records"], "record", "records")
        output.out.print(
            f"{records}, hash chain intact; signed up to record "
            f"{result['signed_to']}; the last hash is {result['last_hash']}"
        )
    if result["problem"]:
        raise typer.Exit(1)


@token_app.command("create")
def token_create(
    context: typer.Context,
    name: str,
    role: Annotated[Role, typer.Option(help="Role of the token.")],
    origin: Annotated[
        str | None, typer.Option(help="Origin of the rules added with it; default: operator.")
    ] = None,
    ttl: options.Ttl = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Create a token; its secret is shown only once.

    Example: xdpctl token create fastnetmon --role detector --origin fastnetmon
    """
    body: dict[str, Any] = {"name": name, "role": role.value, "origin": origin, "ttl": ttl}
    token = options.client(context).call("POST", "/v1/tokens", json=body)
    if printed(token, form):
        return
    output.err.print(f"token {name}, role {role}; store the secret, it is not shown again:")
    print(token["secret"])


@token_app.command("list")
def token_list(context: typer.Context, form: options.Output = Format.TABLE) -> None:
    """List tokens, without their secrets.

    Example: xdpctl token list
    """
    tokens = options.client(context).call("GET", "/v1/tokens")["tokens"]
    if printed(tokens, form):
        return
    rows = [
        (
            token["name"],
            token["role"],
            token["origin"],
            (token["expires_at"] or "never")[:19].replace("T", " "),
        )
        for token in tokens
    ]
    if not output.table(("token", "role", "origin", "ends"), rows):
        output.out.print("no tokens")


@token_app.command("revoke")
def token_revoke(context: typer.Context, name: str, form: options.Output = Format.TABLE) -> None:
    """Revoke a token; it is refused from the next request on.

    Example: xdpctl token revoke fastnetmon
    """
    gone = options.client(context).call("DELETE", path("tokens", check_name(name, "name")))
    if not printed(gone, form):
        output.out.print(f"revoked: {gone['name']}")
