"""The command line's root: global options, exit codes, and the one place that prints errors.

Exit codes: 0 done; 1 refused or failed, the reason on standard error; 2 wrong usage; 3 the
control plane does not answer; 4 doctor found what keeps this box from filtering; 5 a shadow saw
nothing; 6 an archive is sound and its signer was not checked; 78 the configuration must be edited
first.
"""

import json
import os
import sys
from typing import Annotated

import typer
from rich.markup import escape

from xdpctl import __version__
from xdpctl.cli import capture, explain, incidents, options, output, replay, run, system
from xdpctl.cli.detectors import automatic, follow
from xdpctl.cli.rules import add, bulk, rules
from xdpctl.cli.sets import geo, sets
from xdpctl.errors import ConfigError, SettingsError, XdpctlError
from xdpctl.service import config
from xdpctl.service.client import Client, Refused, Unreachable

app = typer.Typer(
    name="xdpctl",
    no_args_is_help=True,
    help="Drops what is blocklisted at line rate, and never its own people.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
for module in (
    add,
    rules,
    explain,
    automatic,
    follow,
    incidents,
    bulk,
    sets,
    geo,
    capture,
    replay,
    system,
    run,
):
    app.registered_commands += module.app.registered_commands
    app.registered_groups += module.app.registered_groups


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def globals_(
    context: typer.Context,
    socket: options.Socket = config.DEFAULT_SOCKET,
    url: options.Url = None,
    token: options.Token = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it and exit.")
    ] = False,
) -> None:
    context.obj = Client(socket, url, token)


def main() -> None:
    """Entry point of the `xdpctl` command."""
    try:
        app(prog_name="xdpctl")  # also of `python -m xdpctl`
    except Unreachable as error:
        _fail(error, 3)
    except SettingsError as error:
        _fail(error, os.EX_CONFIG)  # the units' RestartPreventExitStatus
    except ConfigError as error:
        _fail(error, 2)
    except XdpctlError as error:
        _fail(error, 1)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output went away, as `head` does
        sys.exit(1)


def _fail(error: XdpctlError, code: int) -> None:
    if "--json" in sys.argv and isinstance(error, Refused):
        print(json.dumps(error.problem), file=sys.stderr)
    else:
        fix = getattr(error, "fix", "")
        text = f"{error}\n  fix: {fix}" if fix else str(error)
        output.err.print(f"[red]xdpctl:[/red] {escape(text)}", soft_wrap=True)
    sys.exit(code)
