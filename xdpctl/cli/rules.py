"""Commands about rules."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.cli import options, show
from xdpctl.cli.client import Client, path
from xdpctl.model import rule_id
from xdpctl.prefix import parse_prefix

app = typer.Typer()
ConfirmWithin = Annotated[
    str | None,
    typer.Option("--confirm-within", help="Undo it by itself unless confirmed in this time."),
]


def _path(source: str, *more: str) -> str:
    return path("rules", rule_id(parse_prefix(source.replace("_", "/"))), *more)


def _add(client: Client, body: dict[str, Any], as_json: bool) -> None:
    given = {key: value for key, value in body.items() if value not in (None, "", [])}
    rule = client.call("POST", "/v1/rules", json=given)
    if as_json:
        return show.emit(rule)
    verb = "added" if rule["created"] else "extended"
    act, where = show.coloured(rule["action"]), rule["match"]["source"]
    mode = " (monitor: counts only)" if rule["mode"] == "monitor" else ""
    show.out.print(f"{verb}: {act} {where}{mode}, ends {show.ends(rule)}; the kernel has it")
    if rule["confirm_in"] is not None:
        show.out.print(f"  confirm it with: xdpctl confirm {where}")
    for warning in rule["warnings"]:
        show.err.print(f"[yellow]note:[/yellow] {escape(warning)}")


@app.command()
def block(
    context: typer.Context,
    source: options.Source,
    ttl: options.Ttl = None,
    reason: options.Reason = "",
    tag: options.Tags = None,
    monitor: options.Monitor = False,
    confirm_within: ConfirmWithin = None,
    as_json: options.Json = False,
) -> None:
    """Drop everything from a source, from the next packet on."""
    body = {
        "match": {"source": source},
        "action": "drop",
        "mode": "monitor" if monitor else "enforce",
        "ttl": ttl,
        "reason": reason,
        "tags": tag,
        "confirm_within": confirm_within,
    }
    _add(options.client(context), body, as_json)


@app.command()
def allow(
    context: typer.Context,
    source: options.Source,
    ttl: options.Ttl = None,
    reason: options.Reason = "",
    tag: options.Tags = None,
    as_json: options.Json = False,
) -> None:
    """Let a source pass, also inside a wider block."""
    body = {"match": {"source": source}, "action": "accept", "ttl": ttl, "reason": reason}
    _add(options.client(context), {**body, "tags": tag}, as_json)


@app.command()
def unblock(context: typer.Context, source: options.Source, as_json: options.Json = False) -> None:
    """Remove the rule on exactly this source, whatever its action."""
    rule = options.client(context).call("DELETE", _path(source))
    if as_json:
        return show.emit(rule)
    hits = f"{show.si(rule['packets'])} packets"
    show.out.print(f"removed: {rule['action']} {rule['match']['source']}; it had hit {hits}")


@app.command("list")
def list_rules(
    context: typer.Context,
    action: Annotated[str | None, typer.Option(help="drop or accept")] = None,
    mode: Annotated[str | None, typer.Option(help="enforce or monitor")] = None,
    origin: Annotated[str | None, typer.Option(help="Who asked for it.")] = None,
    tag: Annotated[str | None, typer.Option(help="With this tag.")] = None,
    within: Annotated[str | None, typer.Option(help="Inside this prefix.")] = None,
    covering: Annotated[str | None, typer.Option(help="Around this address or prefix.")] = None,
    as_json: options.Json = False,
) -> None:
    """The standing rules with their hits."""
    filters = {"action": action, "mode": mode, "origin": origin, "tag": tag}
    found = options.client(context).pages(**filters, within=within, covering=covering)
    if as_json:
        return show.emit(list(found))
    if not show.rules_table(found):
        show.out.print("no rules")


@app.command("show")
def show_rule(
    context: typer.Context, source: options.Source, as_json: options.Json = False
) -> None:
    """One rule, whole."""
    rule = options.client(context).call("GET", _path(source))
    show.emit(rule) if as_json else show.rule_details(rule)


@app.command()
def mode(
    context: typer.Context,
    source: options.Source,
    mode: options.Mode,
    as_json: options.Json = False,
) -> None:
    """Let the rule on exactly this source decide, or only count."""
    rule = options.client(context).call("PATCH", _path(source), json={"mode": mode.value})
    if as_json:
        return show.emit(rule)
    show.out.print(f"{rule['action']} {rule['match']['source']}: {rule['mode']}")


@app.command()
def confirm(context: typer.Context, source: options.Source, as_json: options.Json = False) -> None:
    """Let a provisional rule (--confirm-within) stand."""
    rule = options.client(context).call("POST", _path(source, "confirm"))
    if as_json:
        return show.emit(rule)
    show.out.print(f"confirmed: {rule['match']['source']} stands, ends {show.ends(rule)}")


@app.command()
def explain(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="The packet's source address.")],
    destination: Annotated[str | None, typer.Option("--to", help="Its destination.")] = None,
    protocol: Annotated[str, typer.Option(help="udp, tcp, icmp, ... or a number.")] = "udp",
    source_port: Annotated[int, typer.Option(help="Its source port.")] = 40000,
    destination_port: Annotated[int, typer.Option("--port", help="Its destination port.")] = 443,
    as_json: options.Json = False,
) -> None:
    """What the loaded program does with a packet, and which rule decides."""
    query: dict[str, Any] = {
        "source": source,
        "protocol": protocol,
        "source_port": source_port,
        "destination_port": destination_port,
    }
    if destination:
        query["destination"] = destination
    said = options.client(context).call("GET", "/v1/explain", params=query)
    if as_json:
        return show.emit(said)
    why = "" if said["rule"] or said["set"] else f", {said['reason'].replace('_', ' ')}"
    show.out.print(f"{source}: {show.coloured(said['verdict'])}{why}")
    if said["rule"]:
        show.rule_details(said["rule"])
    if said["set"]:
        show.out.print(f"by the set {said['set']}")
    if said["protected_by"]:
        show.out.print(f"{said['protected_by']['prefix']}: {said['protected_by']['why']}")
    for rule in said["monitored"]:
        where = rule["match"]["source"]
        show.out.print(f"in monitor mode on the way: {rule['action']} {where}")
    for name in said["monitored_sets"]:
        show.out.print(f"in monitor mode on the way: the set {name}")
