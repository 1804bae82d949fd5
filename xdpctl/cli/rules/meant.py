# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks a person at a terminal whether a change that may cut off many is meant."""

import sys
from collections.abc import Callable
from typing import Any

import typer

from xdpctl.cli import output, words
from xdpctl.cli.formats import Format
from xdpctl.errors import Refused

_TYPE = "urn:xdpctl:problem:unconfirmed"
TRIAL = "60s"


def or_ask(make: Callable[[dict[str, Any]], Any], form: Format, trial: bool = False) -> Any:
    """The result of `make({})`; if refused as unconfirmed, ask, and then call `make` once more.

    The question is whether to force the change, or, with `trial`, to try it for TRIAL. Raises
    Refused if nobody can be asked, and typer.Abort if the answer is no.
    """
    try:
        return make({})
    except Refused as refused:
        if refused.problem.get("type") != _TYPE or not _can_ask(form):
            raise
        detail = words.spoken(str(refused.problem["detail"]))
        output.err.print(detail, markup=False, soft_wrap=True)
    if trial:
        question = f"Try it for {TRIAL}? It ends by itself unless you confirm it"
        extra: dict[str, Any] = {"confirm_within": TRIAL}
    else:
        question, extra = "Do it all the same?", {"force": True}
    typer.confirm(question, abort=True, err=True)
    return make(extra)


def _can_ask(form: Format) -> bool:
    return not form.for_programs and sys.stdin.isatty() and sys.stderr.isatty()
