# SPDX-License-Identifier: GPL-2.0-or-later
"""The command that adds a challenge."""

from typing import Annotated

import typer

from xdpctl.cli import options
from xdpctl.cli.formats import Format
from xdpctl.cli.rules.add import ConfirmWithin, Priority, Replace, add, match_of

app = typer.Typer()


@app.command()
def challenge(
    context: typer.Context,
    match: Annotated[
        str,
        typer.Option(
            "--match",
            help="What to challenge: 'dst 192.0.2.0/24', 'dst 192.0.2.53 udp dst-port 53'.",
        ),
    ],
    cookies: Annotated[
        bool,
        typer.Option(
            "--cookies",
            help="Answer SYNs to listeners of this host with SYN cookies, without a second try.",
        ),
    ] = False,
    ttl: options.Ttl = None,
    reason: options.Reason = "",
    tag: options.Tags = None,
    monitor: options.Monitor = False,
    confirm_within: ConfirmWithin = None,
    priority: Priority = None,
    replace: Replace = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Let TCP connections, queries and QUIC begin only from sources that show that they exist.

    A SYN is answered instead of passed on. A client that exists tries again.
    Its source then passes for an hour. Other packets are not touched.

    With UDP and port 53 in the match, DNS queries are answered with TC set.
    A resolver that exists asks over TCP, and then passes over UDP for an hour.
    The name server must answer over TCP.

    With UDP and port 443, what opens a QUIC connection gets no answer.
    A browser comes by TCP, and may then use QUIC for an hour.

    With "udp payload @0 ffffffff", queries of games (A2S) get a number.
    A client that exists repeats its query with the number.

    Example: xdpctl challenge --match "dst 198.51.100.0/24"
    Example: xdpctl challenge --match "dst 198.51.100.53 udp dst-port 53"
    Example: xdpctl challenge --match "udp dst-port 27015 payload @0 ffffffff"
    """
    body = {
        "match": match_of(None, match),
        "action": "cookies" if cookies else "challenge",
        "mode": "monitor" if monitor else "enforce",
        "ttl": ttl,
        "reason": reason,
        "tags": tag,
        "confirm_within": confirm_within,
        "priority": priority,
        "replace": replace,
    }
    add(options.client(context), body, form)
