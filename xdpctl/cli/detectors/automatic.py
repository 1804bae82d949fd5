# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for automatic mitigation: post or try a report, set the mode, reload settings."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.base.durations import show_duration
from xdpctl.cli import completion, options, output
from xdpctl.cli.detectors import lines
from xdpctl.cli.detectors.delivery import may_retry
from xdpctl.cli.formats import Format, printed
from xdpctl.client import Client, path
from xdpctl.errors import Refused, Unreachable
from xdpctl.model.effect import Automatic

app = typer.Typer()
_INPUT_MAX = 1 << 20
_WITH_INPUT = frozenset(("fastnetmon",))  # detectors whose scripts also get standard input
_PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds before the next try
_MODES = "off, observe, on, or configured"
_MODES_HELP = f"{_MODES}, which applies the mode in the configuration file again."


_Detector = Annotated[
    str,
    typer.Argument(
        help="Name of the detector: fastnetmon, fail2ban, ...", autocompletion=completion.detectors
    ),
]
_Arguments = Annotated[
    list[str] | None, typer.Argument(help="Arguments that the detector passed to its script.")
]
_Body = Annotated[
    Path | None,
    typer.Option(
        "--body", help="File with the request body, instead of arguments; - for standard input."
    ),
]
_EachLine = Annotated[
    bool,
    typer.Option(
        "--each-line",
        help="Post each line of standard input until it ends: of a detector that pipes.",
    ),
]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what it would trigger; change nothing.")
]


@app.command(context_settings={"ignore_unknown_options": True})
def hook(
    context: typer.Context,
    detector: _Detector,
    arguments: _Arguments = None,
    body: _Body = None,
    each_line: _EachLine = False,
    dry_run: _DryRun = False,
    log: options.Log = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Post a detector's report: the arguments and standard input of its script.

    Example: xdpctl hook fastnetmon 203.0.113.7 incoming 500000 ban
    """
    if sum((body is not None, bool(arguments), each_line)) != 1:
        raise typer.BadParameter("give one of the script's arguments, --body and --each-line")
    if each_line:
        if dry_run:
            raise typer.BadParameter("--dry-run is for a single report: give it with --body")
        return lines.follow(options.client(context), detector, log)
    if log is not None:
        raise typer.BadParameter("--log goes with --each-line")
    query = {"params": {"dry_run": "true"}} if dry_run else {}
    if body is not None:
        payload: dict[str, Any] = {"content": _read(body), **query}
    else:
        stdin = _input() if detector in _WITH_INPUT else ""
        payload = {"json": {"argv": arguments, "stdin": stdin}, **query}
    done = _post(options.client(context), path("hooks", detector), payload)
    if not printed(done, form):
        _print_outcome(done)
    return None


@app.command()
def reload(context: typer.Context) -> None:
    """Reload the tables automatic, notify and names from the configuration file.

    Example: xdpctl reload
    """
    reloaded = options.client(context).call("POST", "/v1/automatic/reload")
    output.out.print(escape(f"reloaded; detectors: {', '.join(reloaded['detectors'])}"))


def _input() -> str:
    """The start of standard input. It reads the rest, too, so that the writer gets no SIGPIPE."""
    if sys.stdin.isatty():
        return ""
    start = sys.stdin.buffer.read(_INPUT_MAX)
    while sys.stdin.buffer.read(_INPUT_MAX):
        pass
    return start.decode(errors="replace")


def _post(client: Client, where: str, payload: dict[str, Any]) -> Any:
    """Post a report, with retries: the control plane may restart, and detectors report once."""
    for pause in _PAUSES:
        try:
            return client.call("POST", where, **payload)
        except (Refused, Unreachable) as error:
            if not may_retry(error):
                raise
        time.sleep(pause)
    return client.call("POST", where, **payload)


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None


def _print_outcome(done: dict[str, Any]) -> None:
    would_be = "would be " if done["dry_run"] else ""
    events = output.plural(done["events"], "event", "events")
    output.out.print(f"{events}, mode {done['mode']}")
    for rule in done["first"]:
        ends = "" if rule["expires_in"] is None else f", for {show_duration(rule['expires_in'])}"
        mode = "" if rule["mode"] == "enforce" else f", {rule['mode']}"
        output.out.print(
            f"{would_be}in force: {output.action(rule)} {escape(rule['text'])}{mode}{ends}"
            f" ({escape(rule['id'])})"
        )
    if more := len(done["rules"]) - len(done["first"]):
        output.out.print(f"and {more:,} more rules; --json lists them")
    for identity in done["released"]:
        output.out.print(f"{would_be}removed: {escape(identity)}")
    for identity in done["held"]:
        output.out.print(f"{would_be}removed once it has no more hits: {escape(identity)}")
    for item in done["refused"]:
        fix = f". {item['fix']}" if item["fix"] else ""
        output.err.print(
            f"refused: {item['what']}: {item['why']}{fix}", markup=False, soft_wrap=True
        )
    for item in done["watched"]:
        output.err.print(f"watched: {item['event']}: {item['why']}", markup=False, soft_wrap=True)
    for item in done["ignored"]:
        output.err.print(f"ignored: {item['event']}: {item['why']}", markup=False, soft_wrap=True)


@app.command()
def automatic(
    context: typer.Context,
    mode: Annotated[str | None, typer.Argument(help=_MODES_HELP)] = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Show or set what detectors may do: on, observe (monitor mode only), or off.

    `configured` ends an operator's choice: the mode in the configuration file applies again.

    Example: xdpctl automatic observe
    """
    if mode is not None and mode not in (*Automatic, "configured"):
        raise typer.BadParameter(f"{mode!r}: write {_MODES}")
    _set(context, mode, form)


def _set(context: typer.Context, mode: str | None, form: Format) -> None:
    call = options.client(context).call
    if mode is None:
        answer = call("GET", "/v1/automatic")
    else:
        requested = None if mode == "configured" else mode
        answer = call("PUT", "/v1/automatic", json={"mode": requested})
    if printed(answer, form):
        return
    text = (
        f"{answer['mode']}, set by an operator"
        if answer["mode"]
        else f"{answer['configured']}, as configured"
    )
    output.out.print(f"automatic mitigation: {text}")
    for name, detector_mode in answer["detectors"].items():
        if detector_mode != (answer["mode"] or answer["configured"]):
            output.out.print(f"  {name}: {detector_mode}")
