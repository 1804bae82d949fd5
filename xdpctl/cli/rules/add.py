# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands that add a rule: block, allow, limit."""

from typing import Annotated, Any

import typer
from rich.markup import escape

from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.cli.rules import meant, resets, statistics
from xdpctl.cli.rules.edit import limit_body
from xdpctl.client import Client
from xdpctl.model.effect import Spare
from xdpctl.model.match import text

app = typer.Typer()
MaybeSource = Annotated[
    str | None, typer.Argument(metavar="[SOURCE]", help="Source address or prefix; or use --match.")
]
MatchText = Annotated[
    str | None,
    typer.Option(
        "--match", help="Packets to match: 'udp src-port 53 length >=512 dst 198.51.100.7'."
    ),
]
ConfirmWithin = Annotated[
    str | None,
    typer.Option(
        "--confirm-within",
        callback=options.not_empty,
        help="The kernel undoes the rule unless it is confirmed within this time.",
    ),
]
SpareOption = Annotated[
    Spare | None,
    typer.Option(
        "--spare",
        help="known: let packets of known flows pass (default with --match); established: only "
        "those of this host's TCP connections; trial: known, and a few flows that show whom the "
        "rule hits.",
    ),
]
Priority = Annotated[
    int | None,
    typer.Option(
        "--priority",
        help="Lower numbers are evaluated first (default 0); ties in FlowSpec order.",
    ),
]
Observe = Annotated[
    str | None,
    typer.Option(
        help="Monitor for this long (60s), show what it would hit, then ask whether to enforce it."
    ),
]
MaxCollateral = Annotated[
    str | None,
    typer.Option(
        help="With --observe: enforce without asking if at most this share (1%) of the matching "
        "packets belongs to known flows or connections that the rule does not spare."
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Allow a drop wider than /8 (IPv6 /16), or of every packet (admin only).",
    ),
]
Replace = Annotated[
    bool,
    typer.Option("--replace", help="Replace a rule with the same match, instead of extending it."),
]


def match_of(source: str | None, match: str | None) -> dict[str, str]:
    """The components of the match; BadParameter unless either a source or a match is given."""
    if (source is None) == (match is None):
        raise typer.BadParameter("give either a source or --match")
    return {"source": source} if source is not None else text.parse(match or "").as_json()


def _post(client: Client, body: dict[str, Any]) -> dict[str, Any]:
    fields = {key: value for key, value in body.items() if value not in (None, "", [], False)}
    rule: dict[str, Any] = client.call("POST", "/v1/rules", json=fields)
    return rule


def _print_rule(rule: dict[str, Any]) -> None:
    verb = "added" if rule["created"] else "changed" if rule["changed"] else "unchanged"
    what = f"{output.coloured(rule['action'])} {escape(output.where(rule))}"
    if rule["limit"]:
        what += f" to {output.rate(rule['limit'])}"
    mode = " (monitor: counts only)" if rule["mode"] == "monitor" else ""
    output.out.print(
        f"{verb}: {what}{mode}, ends {output.ends(rule)}"
        + ("" if rule.get("fleet") else "; the kernel has it")
        + (output.afterwards(rule) if rule["changed"] else "")
    )
    if not output.of_source(rule):
        output.out.print(f"  id: {rule['id']}")
    if rule["confirm_in"] is not None:
        output.out.print(f"  confirm it with: xdpctl confirm {output.name(rule)}")
    output.warnings(rule)


@app.command()
def block(
    context: typer.Context,
    source: MaybeSource = None,
    match: MatchText = None,
    ttl: options.Ttl = None,
    reason: options.Reason = "",
    tag: options.Tags = None,
    monitor: options.Monitor = False,
    confirm_within: ConfirmWithin = None,
    spare: SpareOption = None,
    priority: Priority = None,
    force: Force = False,
    replace: Replace = False,
    observe: Observe = None,
    max_collateral: MaxCollateral = None,
    reset: resets.Reset = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Drop packets from a source, or packets that match, starting with the next packet.

    Example: xdpctl block 203.0.113.0/24 --ttl 1h --reason "SYN flood"
    """
    seconds, max_share = statistics.check(observe, max_collateral, monitor or bool(confirm_within))
    if match and not spare and not monitor and options.tried_first(context):
        spare = Spare.TRIAL  # it shows whom the rule hits
    body = {
        "match": match_of(source, match),
        "action": "drop",
        "mode": "monitor" if monitor or seconds else "enforce",
        "ttl": ttl,
        "reason": reason,
        "tags": tag,
        "confirm_within": confirm_within,
        "spare": spare.value if spare else None,
        "priority": priority,
        "force": force,
        "replace": replace,
    }
    add(options.client(context), body, form, seconds, max_share, reset)


@app.command()
def allow(
    context: typer.Context,
    source: MaybeSource = None,
    match: MatchText = None,
    ttl: options.Ttl = None,
    reason: options.Reason = "",
    tag: options.Tags = None,
    priority: Priority = None,
    replace: Replace = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Let a source pass, even inside a wider block; or let packets that match pass.

    Example: xdpctl allow 203.0.113.9
    """
    body = {
        "match": match_of(source, match),
        "action": "accept",
        "ttl": ttl,
        "reason": reason,
        "tags": tag,
        "priority": priority,
        "replace": replace,
    }
    add(options.client(context), body, form)


_Per = Annotated[
    str,
    typer.Option(
        help="What shares one rate: all, source, destination, source/24,/56, destination+source/24."
    ),
]
_Burst = Annotated[str, typer.Option(help="Burst, in seconds of traffic at the configured rate.")]


@app.command()
def limit(
    context: typer.Context,
    source: MaybeSource = None,
    match: MatchText = None,
    pps: Annotated[str | None, typer.Option(help="Packets per second: 5000, 5k.")] = None,
    bps: Annotated[str | None, typer.Option(help="Bits per second of whole frames: 100M.")] = None,
    per: _Per = "all",
    burst: _Burst = "0.1",
    ttl: options.Ttl = None,
    reason: options.Reason = "",
    tag: options.Tags = None,
    monitor: options.Monitor = False,
    confirm_within: ConfirmWithin = None,
    spare: SpareOption = None,
    priority: Priority = None,
    replace: Replace = False,
    observe: Observe = None,
    max_collateral: MaxCollateral = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Limit the rate of packets from a source, or of packets that match; drop the excess.

    Example: xdpctl limit --match "tcp flags syn dst-port 443" --pps 100 --per source
    """
    seconds, max_share = statistics.check(observe, max_collateral, monitor or bool(confirm_within))
    body = {
        "match": match_of(source, match),
        "action": "limit",
        "limit": limit_body(pps, bps, burst, per),
        "mode": "monitor" if monitor or seconds else "enforce",
        "ttl": ttl,
        "reason": reason,
        "tags": tag,
        "confirm_within": confirm_within,
        "spare": spare.value if spare else None,
        "priority": priority,
        "replace": replace,
    }
    add(options.client(context), body, form, seconds, max_share)


def add(
    client: Client,
    body: dict[str, Any],
    form: Format,
    seconds: float = 0.0,
    max_share: float | None = None,
    reset: bool = False,
) -> None:
    """Add a rule and print it; observe it for `seconds`, if there are any.

    `reset`: close the connections with its source afterwards.
    """
    if reset:
        resets.check(client, body)
    # no trial with reset: the trial may end the rule, but closed connections stay closed
    rule = meant.or_ask(lambda extra: _post(client, body | extra), form, trial=not reset)
    if not form.for_programs:
        _print_rule(rule)
    elif not seconds and not reset:
        printed(rule, form)
    if seconds:
        statistics.watch(client, rule, seconds, max_share, form, bool(body.get("force")))
    if reset:
        resets.close(client, rule, form)
