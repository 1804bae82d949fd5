# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for a fleet: its nodes, its incidents, its history, its policy."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.base.durations import show_duration
from xdpctl.base.units import si3
from xdpctl.cli import options, output
from xdpctl.cli.fleet import admin, backups, custody, joining, rollouts
from xdpctl.cli.fleet.relay import relay
from xdpctl.cli.formats import Format, printed
from xdpctl.client import path
from xdpctl.errors import ConfigError

app = typer.Typer()
fleet_app = typer.Typer(help="Several boxes as one.", no_args_is_help=True)
app.add_typer(fleet_app, name="fleet")


@fleet_app.command("status")
def status(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NODE]", help="Show everything that this node reports."),
    ] = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Show the engine, all nodes, and what each node does not apply.

    Example: xdpctl fleet status edge2
    """
    client = options.client(context)
    if name is not None:
        return _node(client.call("GET", path("fleet", "nodes", name)), form)
    fleet = client.call("GET", "/v1/fleet")
    if printed(fleet, form):
        return None
    engine = fleet["engine"]
    lines = {"this node": fleet["name"]}
    if fleet["isolated"]:
        lines["cut off"] = f"for {show_duration(fleet['silent_for'])}"
    lines["engine"] = engine["text"]
    if engine["problem"]:
        lines["problem"] = engine["problem"]
    if fleet["unsent"]:
        lines["waits to be sent"] = output.plural(fleet["unsent"], "change", "changes")
    lines["fetches feeds"] = fleet["feeds"] or "nobody yet"
    output.fields(lines)
    wide = form is Format.WIDE
    of_members = ("member", "state", "at", ">database", ">used", ">behind", "etcd")
    output.table(of_members, map(_member, engine["members"]), wide)
    of_relays = ("relay", "state", "at", ">nodes", "version")
    if fleet["relays"]:
        output.table(of_relays, map(_relay, fleet["relays"]), wide)
    columns = ("node", "state", "held", ">rules", ">sets", ">incidents", ">refused", "version")
    output.table(columns, map(_row, fleet["nodes"]), wide)
    _wrong(fleet)
    return None


def _wrong(fleet: dict[str, Any]) -> None:
    """Print what is wrong with the fleet, and with each node."""
    for trouble in fleet["troubles"]:
        output.err.print(f"[yellow]![/yellow] {escape(trouble)}")
    for node in fleet["nodes"]:
        for text in node["rollouts"]:
            output.out.print(f"{node['name']} {text}", markup=False)
        for problem in node["problems"]:
            output.err.print(f"[yellow]{escape(node['name'])}:[/yellow] {escape(problem)}")
        for key, why in node["refused"].items():
            text = f"does not apply {key}: {why}"
            output.err.print(f"[yellow]{escape(node['name'])}:[/yellow] {escape(text)}")


def _member(member: dict[str, Any]) -> tuple[str, ...]:
    silent = member["silent_for"]
    return (
        member["name"],
        member["text"],
        member["endpoint"] or "-",
        *("-" if silent is None else f"{si3(member[of])}B" for of in ("bytes", "bytes_used")),
        "-" if silent is None else f"{member['behind']:,}",
        member["version"] or "-",
    )


def _relay(relay: dict[str, Any]) -> tuple[str, ...]:
    state = "ok" if relay["answers"] else "does not answer"
    state = state if relay["joined"] else "has not joined yet"
    return relay["name"], state, relay["endpoint"], str(relay["nodes"]), relay["version"] or "-"


def _row(node: dict[str, Any]) -> tuple[str, ...]:
    return (
        node["name"],
        _state(node),
        node["held"].replace("_", " "),
        f"{node['rules'] + node['matches']:,}",
        str(node["sets"]),
        str(node["incidents"]),
        str(node["refusals"]),
        node["version"],
    )


def _state(node: dict[str, Any]) -> str:
    if not node["live"]:
        silent = node["silent_for"]
        return "never heard of" if silent is None else f"silent for {show_duration(silent)}"
    states = ["bypass"] if node["bypass"] else []
    states += ["detectors do not act"] if node["passive"] else []
    states += [f"{node['unsent']:,} unsent"] if node["unsent"] else []
    return ", ".join(states) or "ok"


def _node(report: dict[str, Any], form: Format) -> None:
    if printed(report, form):
        return
    lines = {"state": _state(report), "groups": ", ".join(report["groups"]) or "-"}
    lines |= {"address": report["address"] or "-", "version": report["version"] or "-"}
    lines["rules"] = f"{report['rules']:,} on sources, {report['matches']} on matches"
    lines |= {"sets": str(report["sets"]), "open incidents": str(report["incidents"])}
    lines["behind"] = output.plural(report["behind"], "revision", "revisions")
    lines["held"] = report["held"].replace("_", " ") or "-"
    if report["certificate_ends"]:
        lines["certificate ends"] = report["certificate_ends"][:19].replace("T", " ")
    for other, packets in report["armed"].items():
        lines[f"hits for {other}"] = output.plural(packets, "packet", "packets")
    output.fields(lines)
    for text in report["rollouts"]:
        output.out.print(f"  {text}", markup=False)
    for problem in report["problems"]:
        output.out.print(f"  problem: {problem}", markup=False)
    for key, why in report["refused"].items():
        output.out.print(f"  does not apply {key}: {why}", markup=False)


@fleet_app.command("share")
def share(context: typer.Context, form: options.Output = Format.TABLE) -> None:
    """Share every rule, set and token that is only on this node: state it for all nodes.

    Example: xdpctl fleet share
    """
    done = options.client(context).call("POST", "/v1/fleet/share")
    if not printed(done, form):
        output.out.print(
            f"stated {output.plural(done['intents'], 'intent', 'intents')}; the other nodes get "
            "them as soon as the engine answers: xdpctl fleet status"
        )


@fleet_app.command("again")
def again(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="Key of what gave way, as fleet status has it.")],
    leave: Annotated[
        bool, typer.Option("--leave", help="Leave it at what stands, and forget this.")
    ] = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Ask again for what gave way to another node's change, in place of what stands.

    Example: xdpctl fleet again rules/203.0.113.7_32
    """
    kind, _, name = key.partition("/")
    if not kind or not name:
        raise ConfigError(f"{key[:80]!r} is no key of fleet status: rules/203.0.113.7_32")
    where, client = path("fleet", "conflicts", kind, name), options.client(context)
    done = client.call("DELETE", where) if leave else client.call("POST", f"{where}/again")
    if not printed(done, form):
        output.out.print(f"{'left' if leave else 'asked for again'}: {done['what']}", markup=False)


@fleet_app.command("policy")
def policy(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="TOML with the table automatic; default: show it.")
    ] = None,
    none: Annotated[
        bool, typer.Option("--none", help="Each node's own configuration applies again.")
    ] = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Show or set the policy of the fleet, which replaces automatic on every node.

    Example: xdpctl fleet policy automatic.toml
    """
    client = options.client(context)
    if file is not None and none:
        raise ConfigError("give either a file, or --none")
    if file is None and not none:
        done = client.call("GET", "/v1/fleet/policy")
        if not printed(done, form):
            shown = done["toml"] or "there is none: each node's own configuration applies"
            output.out.print(shown, markup=False)
        return
    try:
        text = "" if none or file is None else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    if not none and not text.strip():
        raise ConfigError(f"{file} is empty: give --none to end the policy of the fleet")
    done = client.call("PUT", "/v1/fleet/policy", json={"toml": text})
    if not printed(done, form):
        outcome = "set" if text else "each node's own configuration applies again"
        output.out.print(outcome + output.afterwards(done))


for command in (
    admin.init,
    joining.token,
    joining.join,
    joining.replace,
    joining.promote,
    admin.demote,
    admin.leave,
    admin.renew,
    admin.revoke,
    rollouts.rollout,
    rollouts.judge,
    backups.backup,
    backups.restore,
    custody.deposit,
    custody.adopt,
    custody.upkeep,
    relay,
):
    fleet_app.command(command.__name__)(command)
