# SPDX-License-Identifier: GPL-2.0-or-later
"""Prints findings: one line each, and what to do."""

from collections.abc import Sequence

import typer
from rich.markup import escape

from xdpctl.cli import output
from xdpctl.cli.formats import Format, printed
from xdpctl.doctor.host import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def print_findings(findings: Sequence[Finding], form: Format) -> None:
    """Print the findings; exit with 4 if one is a problem."""
    if not printed([finding.as_dict() for finding in findings], form):
        for finding in findings:
            level = f"[{_COLOURS[finding.level]}]{finding.level:<8}[/]"
            output.out.print(
                f"{level} [bold]{escape(finding.subject)}[/bold]: {escape(finding.text)}"
            )
            if finding.fix:
                output.out.print(f"         fix: {finding.fix}", markup=False, soft_wrap=True)
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(4)
