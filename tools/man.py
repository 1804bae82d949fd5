# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tools.man DIRECTORY`: generates the man pages.

Section 8 has a page for the program and one for each group of commands, generated from the command
line's definitions. Section 5 has the configuration file, from docs/reference/configuration.md.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from tools.roff import argument, literal, marked, paragraphs, plain, section, sentences, terms
from xdpctl.cli import app as root

_HERE = Path(__file__).resolve().parents[1]
_NAME = "xdpctl"
_EXIT = re.compile(r"(\d+) ([^;]+?)(?=;|\.?$)")
_ENVIRONMENT = re.compile(r"env var: (\w+)")
_FILES = {
    "/etc/xdpctl/xdpctl.toml": "The configuration, see xdpctl.toml(5).",
    "/run/xdpctl/api.sock": "The control plane's socket, for root and the group xdpctl.",
    "/run/xdpctl/bpf": "The pinned maps and programs.",
    "/var/lib/xdpctl": "Rules, audit log and incidents.",
}


def pages() -> dict[str, str]:
    """The text of each page, by its file name."""
    command = typer.main.get_command(root.app)
    context = typer.Context(command, info_name=_NAME, **command.context_settings)
    commands = _commands(command)
    groups = {name: item for name, item in commands.items() if _commands(item)}
    others = {name: item for name, item in commands.items() if name not in groups}
    texts = {f"{_NAME}.8": _program(context, others, list(groups))}
    for name, group in groups.items():
        texts[f"{_NAME}-{name}.8"] = _group(context, name, group)
    texts[f"{_NAME}.toml.5"] = _settings()
    return {name: "\n".join(lines) + "\n" for name, lines in texts.items()}


def _commands(command: Any) -> dict[str, Any]:
    """The visible commands of a group; typer has its own copy of click, without types."""
    if not hasattr(command, "list_commands"):
        return {}
    all_commands = {name: command.get_command(None, name) for name in command.list_commands(None)}
    return {name: item for name, item in all_commands.items() if not item.hidden}


def _program(context: typer.Context, commands: Mapping[str, Any], groups: list[str]) -> list[str]:
    command = context.command
    description = [*paragraphs(command.help or ""), ".Pp", *_pointers(groups)]
    return [
        *_head(_NAME, 8, command.help or ""),
        *section("SYNOPSIS", [".Nm", ".Op Ar options", ".Ar command", ".Op Ar arguments"]),
        *section("DESCRIPTION", description),
        *section("OPTIONS", _parameters(context)),
        *section("COMMANDS", _each(context, commands)),
        *section("ENVIRONMENT", _environment(context)),
        *section("FILES", terms((path, [plain(text)]) for path, text in _FILES.items())),
        *section("EXIT STATUS", exit_codes()),
        *section("SEE ALSO", _see([(f"{_NAME}-{name}", 8) for name in sorted(groups)])),
    ]


def _pointers(groups: list[str]) -> list[str]:
    """The reference to the pages of command groups."""
    return ["These groups of commands have a page of their own:", *_list(groups)]


def _list(groups: list[str]) -> list[str]:
    last = len(groups) - 1
    return [f".Xr {_NAME}-{name} 8 {',.'[n == last]}" for n, name in enumerate(sorted(groups))]


def _group(parent: typer.Context, name: str, group: Any) -> list[str]:
    context = typer.Context(group, parent=parent, info_name=name)
    usage = [f".Nm {_NAME} {name}", ".Ar command", ".Op Ar arguments"]
    return [
        *_head(f"{_NAME}-{name}", 8, group.help or ""),
        *section("SYNOPSIS", usage),
        *section("DESCRIPTION", paragraphs(group.help or "")),
        *section("COMMANDS", _each(context, _commands(group))),
        *section("EXIT STATUS", exit_codes()),
        *section("SEE ALSO", _see([(_NAME, 8)])),
    ]


def _head(name: str, number: int, summary: str) -> list[str]:
    return [
        '.\\" SPDX-License-Identifier: GPL-2.0-or-later',
        f".Dd {_date():%B} {_date().day}, {_date().year}",
        f".Dt {name.upper()} {number}",
        ".Os",
        ".Sh NAME",
        f".Nm {name}",
        f".Nd {argument(summary.splitlines()[0].rstrip('.'))}",
    ]


def _date() -> datetime:
    """The date in SOURCE_DATE_EPOCH (reproducible-builds.org), else today."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)


def _each(parent: typer.Context, commands: Mapping[str, Any]) -> Iterator[str]:
    """Each command with its usage, its help and its options."""
    for name, command in commands.items():
        context = typer.Context(command, parent=parent, info_name=name)
        usage = " ".join(command.collect_usage_pieces(context))
        yield f".Ss {argument(f'{context.command_path} {usage}')}"
        yield from paragraphs(command.help or "")
        yield from _parameters(context)


def _parameters(context: typer.Context) -> list[str]:
    """Options and arguments as in `--help`; --help itself is only on the program's page."""
    command: Any = context.command
    parameters = [p for p in command.get_params(context) if context.parent is None or not _help(p)]
    records = [record for p in parameters if (record := p.get_help_record(context))]
    return terms((label, sentences(text)) for label, text in records)


def _help(parameter: Any) -> bool:
    return "--help" in parameter.opts


def _environment(context: typer.Context) -> list[str]:
    command: Any = context.command
    records = filter(None, (p.get_help_record(context) for p in command.get_params(context)))
    pairs = ((label.split()[0], _ENVIRONMENT.search(text)) for label, text in records)
    return terms((at[1], [f"Used if {plain(label)} is not given."]) for label, at in pairs if at)


def exit_codes() -> list[str]:
    """The exit codes, from the docstring of the command line's root module."""
    text = " ".join((root.__doc__ or "").split())
    codes = _EXIT.findall(text.partition("Exit codes: ")[2])
    return terms((number, [plain(f"{meaning.strip()}.")]) for number, meaning in codes)


def _see(others: list[tuple[str, int]]) -> list[str]:
    named = [(f"{_NAME}.toml", 5), *others]
    return [f".Xr {name} {n}{' ,' * (i < len(named) - 1)}" for i, (name, n) in enumerate(named)]


def _settings() -> list[str]:
    example = (_HERE / "packaging" / "xdpctl.toml").read_text().split("\n", 1)[1]
    description = ["A TOML file that", f".Nm {_NAME}", "reads when it starts."]
    description += ["An unknown setting is an error.", *terms(settings())]
    return [
        *_head(f"{_NAME}.toml", 5, "the configuration of xdpctl"),
        *section("SYNOPSIS", [".Pa /etc/xdpctl/xdpctl.toml"]),
        *section("DESCRIPTION", description),
        *section("EXAMPLES", literal(example)),
        *section("SEE ALSO", [f".Xr {_NAME} 8"]),
    ]


def settings() -> Iterator[tuple[str, list[str]]]:
    """Each row of the settings tables: the names, and lines with the meaning and the default."""
    text = (_HERE / "docs" / "reference" / "configuration.md").read_text()
    tables = text.split("| setting | default | meaning |\n|---|---|---|\n")[1:]
    for row in (row for table in tables for row in table.partition("\n\n")[0].splitlines()):
        names, default, meaning = (cell.strip() for cell in row.strip("|").split(" | ", 2))
        lines = [*sentences(meaning.removesuffix(" |")), ".br", f"Default: {marked(default)}."]
        yield names.replace("`", ""), lines


def main() -> None:
    """Write the pages to the given directory."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (directory / name).write_text(text)


if __name__ == "__main__":
    main()
