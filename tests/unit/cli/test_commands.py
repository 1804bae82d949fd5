# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands are found by name, and each imports no more than it needs."""

import importlib
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

import xdpctl.cli
from xdpctl.cli.app import COMMANDS, app

HEAVY = {"numpy", "cryptography", "jinja2", "jmespath"}
CLIENT = ("block", "list", "status", "set", "incidents", "why", "automatic", "capture")


def test_every_command_of_every_module_is_listed() -> None:
    found: dict[str, str] = {}
    for module in pkgutil.walk_packages(xdpctl.cli.__path__, "xdpctl.cli."):
        held = getattr(importlib.import_module(module.name), "app", None)
        if isinstance(held, typer.Typer) and held is not app:
            names = typer.main.get_group(held).commands
            found |= dict.fromkeys(names, module.name.removeprefix("xdpctl.cli."))
    assert found == COMMANDS


def leaves(command: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command that does something, with its names."""
    if not hasattr(command, "list_commands"):
        yield names, command
        return
    for name in command.list_commands(None):
        yield from leaves(command.get_command(None, name), *names, name)


ALL = {" ".join(names): command for names, command in leaves(typer.main.get_command(app))}


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_an_example_in_its_help_that_it_accepts(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getpass", lambda prompt: "typed")  # a token is asked for
    example = re.search(r"Example: (.*)$", ALL[name].help, re.M)
    assert example, "no example"
    words = shlex.split(re.sub(r"^.*\|| > \S+$", "", example[1]))
    assert words[: 1 + len(name.split())] == ["xdpctl", *name.split()]
    ALL[name].make_context(name, words[1 + len(name.split()) :])


def loaded(*arguments: str) -> set[str]:
    code = (
        "import sys; sys.argv[1:] = {!r}\n"
        "try:\n    from xdpctl.cli import main; main()\n"
        "except SystemExit: pass\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code.format(list(arguments))],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in ended.stderr.split()} & {*HEAVY, "httpx2", "rich"}


def test_the_version_loads_no_heavy_module() -> None:
    assert loaded("--version") == set()


@pytest.mark.parametrize("command", CLIENT)
def test_commands_that_call_the_control_plane_load_no_heavy_module(command: str) -> None:
    """One call that nobody answers, and the help."""
    assert not loaded("--socket", "/nonexistent", command, "--help") & HEAVY


def test_calling_the_control_plane_loads_no_heavy_module() -> None:
    assert loaded("--socket", "/nonexistent", "status") == {"rich"}
