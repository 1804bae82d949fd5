"""Commands about the box: status, audit, tokens, bypass."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.base.durations import show_duration
from xdpctl.base.units import si
from xdpctl.cli import options, output
from xdpctl.datapath.bpf.pins import Pins
from xdpctl.errors import ConfigError, DatapathError
from xdpctl.model.identity import Role
from xdpctl.model.rule import check_name
from xdpctl.service import config
from xdpctl.service.client import SLOW_SECONDS, Refused, Unreachable, path

app = typer.Typer()
_BYPASS_SECONDS, _TELL_SECONDS = 5.0, 0.5  # without and with the switch already set
token_app = typer.Typer(no_args_is_help=True, help="Tokens for the API over TCP.")
audit_app = typer.Typer(no_args_is_help=True, help="Who changed what, and when.")
notify_app = typer.Typer(no_args_is_help=True, help="Telling people.")
app.add_typer(token_app, name="token")
app.add_typer(notify_app, name="notify")
app.add_typer(audit_app, name="audit")


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


@app.command()
def status(context: typer.Context, as_json: options.Json = False) -> None:
    """How it stands: interfaces, rules, capacity, traffic by reason, problems."""
    client = options.client(context)
    found = client.call("GET", "/v1/status")
    traffic = client.call("GET", "/v1/counters")
    if as_json:
        return output.emit({**found, "counters": traffic})
    memory = sum(found["kernel_memory"].values()) / 2**20
    lines = {
        "version": f"{found['version']}, up {show_duration(found['uptime'])}",
        **{
            t["name"]: f"{t['used']:,} of {t['capacity']:,} ({t['fill']:.1%})"
            for t in found["tables"]
            if t["used"] or t["name"] == "rules"
        },
        "kernel memory": f"{memory:.0f} MiB",
        "protected": f"{len(found['protected'])} prefixes",
        "bypass": "[red]ON: everything passes[/red]" if found["bypass"] else "off",
    }
    for name, port in found["interfaces"].items():
        mode = f" {port['mode']}" if port["mode"] else ""
        lines[name] = f"{port['state']}{mode}" + (f", {port['detail']}" if port["detail"] else "")
    output.fields(lines)
    for reason, hits in traffic["total"].items():
        if hits["packets"]:
            output.out.print(f"  {reason:<16} {si(hits['packets']):>8} packets")
    for warning in found["warnings"]:
        output.err.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    for problem in found["problems"]:
        output.err.print(f"[red]problem:[/red] {escape(problem)}")


@notify_app.command("test")
def notify_test(context: typer.Context, as_json: options.Json = False) -> None:
    """Send one message to each of notify.urls, and tell whether it was taken."""
    call = options.client(context).call
    taken = call("POST", "/v1/notifications/test", seconds=SLOW_SECONDS)["taken"]
    if as_json:
        output.emit(taken)
    elif not taken:
        output.out.print("notify.urls is empty: nobody is told of anything")
    else:
        for number, well in enumerate(taken):
            output.out.print(f"notify.urls[{number}] {'took it' if well else 'did not take it'}")
    if not all(taken):
        raise typer.Exit(1)


@app.command()
def bypass(
    context: typer.Context,
    switch: Switch,
    config_file: options.Config = None,
    pin_dir: options.PinDir = None,
    as_json: options.Json = False,
) -> None:
    """The red button: `on` lets everything pass at once, `off` filters again.

    As root it needs no control plane: the switch is set in the kernel, and then told.
    """
    client, on = options.client(context), switch is Switch.ON
    pressed = client.url is None and _press(client.socket, config_file, pin_dir, on)
    said = {"on": on, "audited": False}
    try:
        seconds = _TELL_SECONDS if pressed else _BYPASS_SECONDS
        said = client.call("POST", "/v1/bypass", seconds=seconds, json={"on": on})
    except (Unreachable, Refused):
        if not pressed:
            raise
    if as_json:
        return output.emit(said)
    output.out.print("everything passes" if said["on"] else "filtering")
    if not said["audited"]:
        output.err.print("[yellow]note:[/yellow] the audit log could not be written")


def _press(door: Path, config_file: Path | None, pin_dir: Path | None, on: bool) -> bool:
    """Whether the switch could be set in the kernel, past the control plane.

    Of the instance that is meant: another socket without its pins is another instance's.
    """
    if os.geteuid() != 0:
        return False
    from xdpctl.datapath.emergency_bypass import press

    try:
        settings = config.load(config_file)
    except ConfigError as error:
        output.err.print(f"[yellow]note:[/yellow] {escape(str(error))}; defaults are used")
        settings = config.Settings()
    if pin_dir is None and door not in (settings.listen.socket, config.Listen().socket):
        return False
    try:
        press(Pins(pin_dir or settings.pin_dir), on)
    except DatapathError as error:
        output.err.print(f"[yellow]note:[/yellow] {escape(str(error))}; the control plane is asked")
        return False
    return True


@audit_app.command("log")
def audit_log(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="How many of the newest.")] = 50,
    as_json: options.Json = False,
) -> None:
    """The newest changes."""
    query = {"limit": limit, "last": True}
    records = options.client(context).call("GET", "/v1/audit", params=query)["records"]
    if as_json:
        return output.emit(records)
    for record in records:
        detail = ", ".join(f"{k} {v}" for k, v in record["detail"].items() if v not in (None, ""))
        line = (
            f"{record['at']}  {record['actor']}  {record['action']}  {record['subject']}  {detail}"
        )
        output.out.print(line, markup=False, soft_wrap=True)


@audit_app.command("verify")
def audit_verify(context: typer.Context, as_json: options.Json = False) -> None:
    """Check the hash chain; exits 1 if any record was changed, removed or inserted."""
    found = options.client(context).call("GET", "/v1/audit/verify")
    if as_json:
        output.emit(found)
    elif found["problem"]:
        output.err.print(f"[red]tampered with:[/red] {found['problem']}")
    else:
        output.out.print(
            f"{found['records']} records, unbroken; the last hash is {found['last_hash']}"
        )
    if found["problem"]:
        raise typer.Exit(1)


@token_app.command("create")
def token_create(
    context: typer.Context,
    name: str,
    role: Annotated[Role, typer.Option(help="What it may do.")],
    origin: Annotated[str | None, typer.Option(help="Whose rules it makes, else operator.")] = None,
    ttl: options.Ttl = None,
    as_json: options.Json = False,
) -> None:
    """Make a token; the secret is shown this once."""
    body: dict[str, Any] = {"name": name, "role": role.value, "origin": origin, "ttl": ttl}
    made = options.client(context).call("POST", "/v1/tokens", json=body)
    if as_json:
        return output.emit(made)
    output.err.print(f"token {name}, role {role}; keep it, it is not shown again:")
    print(made["secret"])


@token_app.command("list")
def token_list(context: typer.Context, as_json: options.Json = False) -> None:
    """Every token, without its secret."""
    tokens = options.client(context).call("GET", "/v1/tokens")["tokens"]
    if as_json:
        return output.emit(tokens)
    for token in tokens:
        until = token["expires_at"] or "for good"
        output.out.print(
            f"{token['name']}  {token['role']}  origin {token['origin']}  until {until}"
        )


@token_app.command("revoke")
def token_revoke(context: typer.Context, name: str, as_json: options.Json = False) -> None:
    """Revoke a token, from the next request on."""
    gone = options.client(context).call("DELETE", path("tokens", check_name(name, "name")))
    output.emit(gone) if as_json else output.out.print(f"revoked: {gone['name']}")
