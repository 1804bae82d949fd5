# SPDX-License-Identifier: GPL-2.0-or-later
"""Root of the command line: global options, exit codes, and the printing of errors.

Exit codes: 0 success; 1 refused or failed, with the reason on standard error; 2 wrong usage; 3 the
control plane does not answer; 4 doctor found a problem that prevents filtering; 5 no matching
packet came during --observe; 6 an archive is valid, but its signer was not checked; 7 the
collateral of a rule cannot be judged; 78 the configuration must be edited first; 130 interrupted.
"""

import importlib
import json
import os
import re
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from xdpctl import __version__
from xdpctl.cli import options
from xdpctl.cli.formats import wanted_by, with_json
from xdpctl.config import paths
from xdpctl.errors import (
    ConfigError,
    Interrupted,
    Refused,
    SettingsError,
    Unreachable,
    XdpctlError,
)

# Each command and its module. A module is imported only when its command runs: most commands need
# few imports, but compiling and replaying need many.
COMMANDS = {
    **dict.fromkeys(("block", "allow", "limit"), "rules.add"),
    "challenge": "rules.challenge",
    "guard": "rules.guard",
    "module": "modules",
    "unblock": "rules.removal",
    **dict.fromkeys(("edit", "release"), "rules.edit"),
    **dict.fromkeys(("list", "mode", "confirm"), "rules.rules"),
    **dict.fromkeys(("history", "undo"), "history"),
    "why": "why",
    **dict.fromkeys(("automatic", "hook", "reload"), "detectors.automatic"),
    "follow": "detectors.follow",
    "detect": "detectors.detect",
    "expect": "detectors.expect",
    "attackers": "detectors.attackers",
    "fleet": "fleet.fleet",
    "upstream": "upstream",
    **dict.fromkeys(("incidents", "incident"), "incidents"),
    **dict.fromkeys(("import", "export"), "rules.bulk"),
    "set": "sets.sets",
    "bypass": "bypass",
    **dict.fromkeys(("top", "suggest"), "live.top"),
    "served": "live.served",
    "dashboard": "dashboard",
    "capture": "capture",
    "replay": "replay",
    **dict.fromkeys(("status", "token", "audit", "notify"), "system"),
    **dict.fromkeys(("run", "down", "doctor", "demo"), "run"),
    "upgrade": "upgrade",
}


# Global options that may also follow the command, and whether each takes a value.
_HOISTED = {
    **dict.fromkeys(("--node", "--scope", "--wait", "--canary", "--for"), True),
    "--local": False,
}
_VALUED = {"--socket", "--url", "--token", *(name for name, v in _HOISTED.items() if v)}
# commands where the option means something else: `set put --local FILE`
_OWN = {
    ("set", "--local"),
    *((words, "--for") for words in ("incident", "release", "expect", "fleet judge")),
}


_LATER = ("fleet", "upstream")  # in help once the configuration has a table of that name


def _configured(table: str) -> bool:
    """Whether the configuration file has a table; True if the file cannot be read."""
    try:
        text = paths.CONFIG_FILE.read_text()
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError):
        return True
    return re.search(rf"^\s*(?:\[+\s*)?{table}\b", text, re.MULTILINE) is not None


class Commands(TyperGroup):
    """The commands of COMMANDS."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands, in the order of COMMANDS."""
        return list(COMMANDS)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; raise Interrupted at Ctrl-C, unless the command handles Ctrl-C."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; no change was under way") from None

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, imported from its module; None if the name is unknown."""
        if cmd_name not in COMMANDS:
            # loaded so that click can suggest a similar name
            self.commands = {name: self.get_command(ctx, name) for name in COMMANDS}
            return None
        module = importlib.import_module(f"xdpctl.cli.{COMMANDS[cmd_name]}")
        command = with_json(typer.main.get_group(module.app).commands[cmd_name])
        # ctx is None where all commands are described, whatever this host has
        command.hidden = cmd_name in _LATER and ctx is not None and not _configured(cmd_name)
        return command


app = typer.Typer(
    name="xdpctl",
    cls=Commands,
    no_args_is_help=True,
    help="Drop traffic from blocklisted sources at line rate without locking out operators.",
    epilog="Several boxes as one: xdpctl fleet --help. With BGP peers: xdpctl upstream --help.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        print(__version__)
        raise typer.Exit


@app.callback()
def globals_(
    context: typer.Context,
    socket: options.Socket = paths.SOCKET,
    url: options.Url = None,
    token: options.Token = None,
    node: options.Node = "",
    scope: options.Scope = "",
    local: options.Local = False,
    wait: options.WaitFor = None,
    canary: options.Canary = "",
    lasting: options.CanaryFor = "",
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Store the endpoint of the control plane for the commands."""
    if local and scope:
        raise typer.BadParameter("give either --local or --scope")
    if canary:
        if local or scope or node:
            raise typer.BadParameter("give --canary without --local, --scope and --node")
        node, scope = canary, options.canary_scope(lasting or "10m")
    elif lasting:
        raise typer.BadParameter("give --for with --canary NODE")
    stated = {"scope": "local" if local else scope, "wait": wait.value if wait else ""}
    context.obj = options.Endpoint(socket, url, token, node, stated)


def main() -> None:
    """Entry point of the `xdpctl` command."""
    try:
        arguments = hoisted(sys.argv[1:])
        # without prog_name, `python -m xdpctl` would print another name
        sys.exit(app(arguments, prog_name="xdpctl", standalone_mode=False))
    except Unreachable as error:
        _fail(error, 3)
    except Interrupted as error:
        _fail(error, 130)
    except SettingsError as error:
        _fail(error, os.EX_CONFIG)  # RestartPreventExitStatus in the units: no restart
    except ConfigError as error:
        _fail(error, 2)
    except XdpctlError as error:
        _fail(error, 1)
    except typer.Abort as answer:  # the answer to a question was no, or Ctrl-C
        interrupted = isinstance(answer.__context__, KeyboardInterrupt)
        if answer.__context__:  # the user has not typed Enter
            sys.stderr.write("\n")
        _say(
            f"{'interrupted' if interrupted else 'not confirmed'}: nothing was changed",
            130 if interrupted else 1,
        )
    except typer.exceptions.TyperException as error:
        _misused(error)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of the output closed the pipe, as `head` does
        sys.exit(1)


def _words(arguments: list[str]) -> list[str]:
    """The arguments that are neither options nor values of global options: first the command."""
    words, waiting = list[str](), iter(arguments)
    for word in waiting:
        if word in _VALUED:
            next(waiting, "")
        elif not word.startswith("-"):
            words.append(word)
    return words


def hoisted(arguments: list[str]) -> list[str]:
    """The arguments, with the options of a fleet moved before the command."""
    words = _words(arguments)
    if not words or words[0] == "hook" or "--" in arguments:
        return arguments  # what follows are a detector's arguments
    commands = words[0], " ".join(words[:2])
    known = {
        name: value
        for name, value in _HOISTED.items()
        if _OWN.isdisjoint((command, name) for command in commands)
    }
    first, rest, waiting = list[str](), list[str](), iter(arguments)
    for word in waiting:
        if word in known:
            first += [word, *([next(waiting, "")] if known[word] else [])]
        elif word.partition("=")[0] in known:
            first.append(word)
        else:
            rest.append(word)
    return first + rest


def _fail(error: XdpctlError, code: int) -> NoReturn:
    if wanted_by(sys.argv) and isinstance(error, Refused):
        print(json.dumps(error.problem), file=sys.stderr)
        sys.exit(code)
    from xdpctl.cli import words

    fix = getattr(error, "fix", "")
    text = words.spoken(f"{error}\n  fix: {fix}" if fix else str(error))
    problem = error.problem if isinstance(error, Refused) else {}
    field = str(problem.get("field") or getattr(error, "field", ""))
    _say(words.with_option(text, field, sys.argv), code)


def _misused(error: typer.exceptions.TyperException) -> NoReturn:
    """Say what is wrong with a command line, and where its help is; exit."""
    context = getattr(error, "ctx", None)
    text = error.format_message().removeprefix("Invalid value: ")
    if not text:  # there are no arguments, and the help is printed already
        sys.exit(error.exit_code)
    text = f"{text[:1].lower()}{text[1:]}" if not text.startswith(("'", "-")) else text
    where = f"\n  fix: see `{context.command_path} --help`" if context else ""
    _say(f"{text.rstrip('.')}{where}", error.exit_code)


def _say(text: str, code: int) -> NoReturn:
    if wanted_by(sys.argv):  # a program reads the output
        print(json.dumps({"detail": text, "exit_code": code}), file=sys.stderr)
        sys.exit(code)
    from rich.markup import escape

    from xdpctl.cli import output

    output.err.print(f"[red]xdpctl:[/red] {escape(text)}", soft_wrap=True)
    sys.exit(code)
