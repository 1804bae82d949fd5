# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that drops what no client of a protocol sends."""

import json
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.cli import options, output
from xdpctl.cli.formats import Format
from xdpctl.cli.rules.bulk import imported
from xdpctl.errors import RuleError
from xdpctl.model.effect import Spare
from xdpctl.model.protocols import PROTOCOLS

app = typer.Typer()
Named = StrEnum("Named", [(name.upper(), name) for name in PROTOCOLS])  # type: ignore[misc]
_TAG = "guard"


@app.command()
def guard(
    context: typer.Context,
    protocol: Annotated[Named, typer.Argument(help="The protocol of the service.")],
    destination: Annotated[str, typer.Argument(help="Address or prefix of the servers.")],
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: the protocol's usual port.")
    ] = None,
    ttl: options.Ttl = None,
    monitor: options.Monitor = False,
    dry_run: options.DryRun = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Drop what no client of a protocol sends to its servers: a rule for each, with its reason.

    Packets of known flows pass. Each rule is on trial: a few packets that it
    matches pass, which shows whether it hits people.

    "xdpctl list --tag guard-dns" shows what each rule has hit.
    "xdpctl unblock --tag guard-dns" removes them.

    Example: xdpctl guard dns 198.51.100.53
    Example: xdpctl guard quic 198.51.100.0/24 --monitor
    """
    named = list(PROTOCOLS[protocol.value].matches(_servers(destination), port))
    common: dict[str, Any] = {
        "action": "drop",
        "mode": "monitor" if monitor else "enforce",
        "spare": (Spare.KNOWN if monitor else Spare.TRIAL).value,
        "tags": [f"{_TAG}-{protocol.value}"],
        "replace": True,  # so that what was monitored is enforced
        **({"ttl": ttl} if ttl is not None else {}),
    }
    lines = [
        json.dumps({"match": match.as_json(), "reason": what, **common}) for what, match in named
    ]
    done = options.client(context).call(
        "POST",
        "/v1/rules/bulk",
        params={"dry_run": dry_run} if dry_run else {},
        content="\n".join(lines).encode(),
        headers={"Content-Type": "application/x-ndjson"},
    )
    if not form.for_programs:
        for what, match in named:
            output.out.print(f"{escape(what)}\n  {escape(str(match))}")
    imported(done, form)


def _servers(destination: str) -> Prefix:
    try:
        return parse_prefix(destination)
    except RuleError as error:
        raise typer.BadParameter(f"{error}; {error.fix}", param_hint="DESTINATION") from None
