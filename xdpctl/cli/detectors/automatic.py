# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands about detectors: speaking for one, trying what would be done, stopping it all."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.cli import options, output
from xdpctl.cli.detectors.delivery import passing
from xdpctl.errors import Refused, Unreachable
from xdpctl.model.rule import Automatic
from xdpctl.service.client import Client, path

app = typer.Typer()
policy_app = typer.Typer(help="Test or reload automatic mitigation.", no_args_is_help=True)
app.add_typer(policy_app, name="policy")
_INPUT_MAX = 1 << 20
_WITH_INPUT = frozenset(("fastnetmon",))  # whose scripts get more than arguments
_PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds before the next try
_MODES = "off, observe, on, or configured"


@app.command(context_settings={"ignore_unknown_options": True})
def hook(
    context: typer.Context,
    detector: Annotated[
        str, typer.Argument(help="Name of the detector: fastnetmon, fail2ban, ...")
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="The arguments that the detector gave to its script.")
    ] = None,
    body: Annotated[
        Path | None,
        typer.Option("--body", help="File with the body to post instead; - for standard input."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Post what a detector gave to its script: the arguments and standard input.

    Example: xdpctl hook fastnetmon 203.0.113.7 incoming 500000 ban
    """
    if (body is None) == (not arguments):
        raise typer.BadParameter("give the script's arguments, or --body, one of the two")
    if body is not None:
        given: dict[str, Any] = {"content": _read(body)}
    else:
        said = _input() if detector in _WITH_INPUT else ""
        given = {"json": {"argv": arguments, "stdin": said}}
    done = _handed(options.client(context), path("hooks", detector), given)
    output.emit(done) if as_json else _tell(done)


@policy_app.command("test")
def policy_test(
    context: typer.Context,
    event: Annotated[
        Path,
        typer.Argument(help="File with the body that a detector would post; - for standard input."),
    ],
    detector: Annotated[str, typer.Option(help="Detector whose format the body has.")] = "event",
    as_json: options.Json = False,
) -> None:
    """Dry run: show what this event would trigger.

    Example: xdpctl policy test event.json --detector suricata
    """
    call = options.client(context).call
    where, query = path("hooks", detector), {"dry_run": "true"}
    done = call("POST", where, content=_read(event), params=query)
    output.emit(done) if as_json else _tell(done)


@policy_app.command("reload")
def policy_reload(context: typer.Context) -> None:
    """Reload the tables automatic and notify from the configuration file.

    Example: xdpctl policy reload
    """
    held = options.client(context).call("POST", "/v1/automatic/reload")
    output.out.print(escape(f"read again; detectors: {', '.join(held['detectors'])}"))


def _input() -> str:
    """All of it: whoever writes there would be ended by a closed pipe."""
    if sys.stdin.isatty():
        return ""
    said = sys.stdin.buffer.read(_INPUT_MAX)
    while sys.stdin.buffer.read(_INPUT_MAX):
        pass
    return said.decode(errors="replace")


def _handed(client: Client, where: str, given: dict[str, Any]) -> Any:
    """The answer. A detector says it once, so a control plane that restarts is waited for."""
    for pause in _PAUSES:
        try:
            return client.call("POST", where, **given)
        except (Refused, Unreachable) as error:
            if not passing(error):
                raise
        time.sleep(pause)
    return client.call("POST", where, **given)


def _read(given: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(given) == "-" else given.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{given}: {error.strerror}") from None


def _tell(done: dict[str, Any]) -> None:
    would = "would " if done["dry_run"] else ""
    events = output.plural(done["events"], "event", "events")
    output.out.print(f"{events}, mode {done['mode']}")
    for identity in done["rules"]:
        output.out.print(f"{would}stand: {escape(identity)}")
    for identity in done["released"]:
        output.out.print(f"{would}end: {escape(identity)}")
    for identity in done["held"]:
        output.out.print(f"{would}end once it hits no more: {escape(identity)}")
    for one in done["refused"]:
        fix = f". {one['fix']}" if one["fix"] else ""
        output.err.print(f"refused: {one['what']}: {one['why']}{fix}", markup=False, soft_wrap=True)
    for one in done["watched"]:
        output.err.print(f"watched: {one['event']}: {one['why']}", markup=False, soft_wrap=True)
    for one in done["ignored"]:
        output.err.print(f"ignored: {one['event']}: {one['why']}", markup=False, soft_wrap=True)


@app.command()
def automatic(
    context: typer.Context,
    mode: Annotated[str | None, typer.Argument(help=_MODES)] = None,
    as_json: options.Json = False,
) -> None:
    """Show or set what detectors may do: on, observe (monitor mode only), or off.

    Example: xdpctl automatic observe
    """
    if mode is not None and mode not in (*Automatic, "configured"):
        raise typer.BadParameter(f"{mode!r}: write {_MODES}")
    _set(context, mode, as_json)


@app.command()
def freeze(context: typer.Context, as_json: options.Json = False) -> None:
    """Stop automatic mitigation; existing rules stay.

    Undo it with `xdpctl automatic configured`.

    Example: xdpctl freeze
    """
    _set(context, "off", as_json)


def _set(context: typer.Context, mode: str | None, as_json: bool) -> None:
    call = options.client(context).call
    if mode is None:
        held = call("GET", "/v1/automatic")
    else:
        said = None if mode == "configured" else mode
        held = call("PUT", "/v1/automatic", json={"mode": said})
    if as_json:
        return output.emit(held)
    said = (
        f"{held['mode']}, by an operator"
        if held["mode"]
        else f"{held['configured']}, as configured"
    )
    output.out.print(f"automatic mitigation: {said}")
    for name, own in held["detectors"].items():
        if own != (held["mode"] or held["configured"]):
            output.out.print(f"  {name}: {own}")


@app.command()
def undo(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="Remove rules added within this time: 10m, 2h.")],
    origin: Annotated[str | None, typer.Option(help="Only rules of this detector.")] = None,
    as_json: options.Json = False,
) -> None:
    """Remove the rules added automatically since the given time, in one step.

    Example: xdpctl undo --since 10m --origin fastnetmon
    """
    body = {"since": since} | ({"origin": origin} if origin else {})
    removed = options.client(context).call("POST", "/v1/automatic/undo", json=body)["removed"]
    if as_json:
        return output.emit({"removed": removed})
    output.out.print(f"removed {output.plural(len(removed), 'rule', 'rules')}")
