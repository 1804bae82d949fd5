# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for what one node of a fleet tries before all nodes have it."""

import time
from typing import Annotated, Any

import typer

from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.client import path
from xdpctl.errors import ConfigError, RuleError

_POLL_SECONDS = 2.0


def rollout(
    context: typer.Context,
    number: Annotated[int, typer.Argument(help="Number of the change, as fleet status has it.")],
    now: Annotated[bool, typer.Option("--now", help="Publish it for all nodes now.")] = False,
    back: Annotated[bool, typer.Option("--back", help="Take it back now.")] = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Show what a node tries first (--canary), publish it for all, or take it back.

    Example: xdpctl fleet rollout 17 --now
    """
    if now and back:
        raise ConfigError("give either --now or --back")
    client, where = options.client(context), path("fleet", "rollouts", str(number))
    if now:
        done = client.call("POST", f"{where}/publish")
    else:
        done = client.call("DELETE" if back else "GET", where)
    if not printed(done, form):
        _print(done)


def judge(
    context: typer.Context,
    node: Annotated[str, typer.Argument(help="Name of the node.")],
    lasting: Annotated[str, typer.Option("--for", help="How long.")] = "10m",
    form: options.Output = Format.TABLE,
) -> None:
    """Judge a node as it is, as after its upgrade; exit code 1 if something speaks against it.

    Example: xdpctl fleet judge edge1 --for 10m
    """
    stated = {"scope": options.canary_scope(lasting)}
    context.obj = context.obj._replace(node=node, stated=stated)
    client = options.client(context)
    done = client.call("POST", "/v1/fleet/rollouts")
    while not done["outcome"]:
        time.sleep(_POLL_SECONDS)
        done = client.call("GET", path("fleet", "rollouts", str(done["number"])))
    if done["outcome"] != "published":
        raise RuleError(done["why"], "node", "look at it: xdpctl fleet status")
    if not printed(done, form):
        output.out.print(f"well: {done['why']}", markup=False)


def _print(done: dict[str, Any]) -> None:
    what = ", ".join(done["keys"][:3]) or ("a policy" if done["policy"] else "the node as it is")
    outcome = done["outcome"] or f"tried until {done['until'][:19].replace('T', ' ')}"
    why = f": {done['why']}" if done["why"] else ""
    output.out.print(f"{what} of {done['by']}, {outcome}{why}", markup=False)
