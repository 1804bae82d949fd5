# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands for full uplinks: their state, BGP peers, and what to ask of the provider."""

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer

from xdpctl.base.durations import show_duration
from xdpctl.base.units import si3
from xdpctl.cli import options, output
from xdpctl.cli.formats import Format, printed
from xdpctl.cli.rules.edit import number
from xdpctl.client import path
from xdpctl.errors import XdpctlError
from xdpctl.model.match import text

_WAITED = 60  # seconds
app = typer.Typer()
upstream_app = typer.Typer(
    help="Full uplinks: their state, BGP peers, what to ask of the provider.", no_args_is_help=True
)
app.add_typer(upstream_app, name="upstream")


@upstream_app.command("status")
def status(context: typer.Context, form: options.Output = Format.TABLE) -> None:
    """Show how full the uplinks are, and what to ask of the provider about each attack.

    Example: xdpctl upstream status
    """
    answer = options.client(context).call("GET", "/v1/upstream")
    if printed(answer, form):
        return
    columns = ("uplink", "state", ">arrives", ">of", ">share", ">lost/s")
    if not output.table(columns, map(_row, answer["uplinks"]), form is Format.WIDE):
        output.out.print("no uplink is configured: add upstream.uplinks to the configuration")
    _peers(answer["peers"], form)
    if answer["policy_stopped"]:
        output.out.print("nothing is sent by policy since everything was withdrawn")
    _announcements(answer["announcements"], form)
    for attack in answer["attacks"]:
        output.out.print(f"{attack['incident']}, {attack['subject']}:", markup=False)
        _options(attack["options"], form)
        for request in attack["requests"]:
            output.out.print(f"  {request['kind']}: {request['what']}", markup=False)
            output.out.print(f"    cost: {request['cost']}", markup=False)
            output.out.print(f"    {request['route']}", markup=False, soft_wrap=True)
        output.out.print(
            f"  in words: xdpctl incident report {attack['incident']} --for provider", markup=False
        )


def _options(options: list[dict[str, Any]], form: Format) -> None:
    """What can be done, side by side."""
    if options:
        columns = ("do", ">takes", ">of people", ">at most", ">then arrives", "")
        output.table(columns, map(_option, options), form is Format.WIDE)


def _option(option: dict[str, Any]) -> tuple[str, ...]:
    shares = (option[name] for name in ("takes", "people", "at_most", "arrives"))
    return (
        option["name"],
        *("not known" if share is None else f"{share:.1%}" for share in shares),
        option["says"],
    )


def _peers(peers: list[dict[str, Any]], form: Format) -> None:
    if peers:
        columns = ("peer", "AS", "mode", "session", "rehearsed", ">received", ">applied", "")
        output.table(columns, map(_peer, peers), form is Format.WIDE)
    for peer in peers:
        for rehearsal in peer["rehearsals"]:
            says = f"rehearsed {rehearsal['at'][:10]}: {rehearsal['says']}"
            output.out.print(f"{peer['name']}: {says}", markup=False)
        for why in peer["not_applied"][: None if form is Format.WIDE else 1]:
            output.out.print(f"{peer['name']}: not applied: {why}", markup=False)


def _peer(peer: dict[str, Any]) -> tuple[str, ...]:
    return (
        peer["name"],
        str(peer["peer_as"]),
        f"{peer['mode']}, frozen" if peer["frozen"] else peer["mode"],
        "up" if peer["up"] else "down",
        max((each["at"][:10] for each in peer["rehearsals"]), default="never"),
        "-" if peer["receive"] == "off" else str(peer["received"] + peer["beyond"]),
        "-" if peer["receive"] == "off" else str(peer["applied"]),
        "" if peer["up"] else peer["why"],
    )


def _announcements(announcements: list[dict[str, Any]], form: Format) -> None:
    for announcement in announcements:
        state = announcement["state"]
        if announcement["sent_at"]:
            state += f", for {show_duration(announcement['ends_in'])} more"
        head = f"{announcement['id']} {state}: {announcement['peer']}"
        output.out.print(f"{head}: {announcement['what']}", markup=False)
        if form is Format.WIDE or not announcement["sent_at"]:
            output.out.print(f"    cost: {announcement['cost']}", markup=False)
        if form is Format.WIDE:
            output.out.print(f"    {announcement['route']}", markup=False, soft_wrap=True)
        if announcement["effect"]:
            output.out.print(f"    {announcement['effect']}", markup=False)
        if announcement["problem"]:
            output.out.print(f"    {announcement['problem']}", markup=False)


@upstream_app.command("propose")
def propose(
    context: typer.Context,
    incident: Annotated[str, typer.Argument(help="Id of an incident; see xdpctl incidents.")],
    peer: Annotated[str | None, typer.Option(help="Only for this peer.")] = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Propose what could be asked of peers about an attack, also if no link is full.

    Example: xdpctl upstream propose 20261126-081914
    """
    body = {"incident": incident, "peer": peer}
    answer = options.client(context).call("POST", "/v1/upstream/proposals", json=body)
    if printed(answer, form):
        return
    _announcements(answer["proposals"], form)
    if not answer["proposals"]:
        output.out.print("nothing new: it is proposed or announced already, or no peer takes it")


@upstream_app.command("announce")
def announce(
    context: typer.Context,
    match: Annotated[
        str, typer.Option("--match", help="Packets to match: 'udp src-port 53 dst 198.51.100.7'.")
    ],
    peer: Annotated[str, typer.Option("--to", help="Name of the peer.")],
    bps: Annotated[
        str | None, typer.Option(help="Bits per second that pass: 2M. Without it, all is dropped.")
    ] = None,
    blackhole: Annotated[
        bool, typer.Option("--blackhole", help="Blackhole the destination (RTBH).")
    ] = False,
    divert: Annotated[
        bool, typer.Option("--divert", help="Divert the destination to a scrubbing centre.")
    ] = False,
    ttl: Annotated[
        str | None,
        typer.Option(help="For how long each time: 15m; default: upstream.ttl; diverted: 1h."),
    ] = None,
    incident: Annotated[str, typer.Option(help="Incident that tells of it.")] = "",
    confirm: Annotated[
        str,
        typer.Option(help="The destination; needed for all of a prefix or a protected address."),
    ] = "",
    form: options.Output = Format.TABLE,
) -> None:
    """Announce a route of your own to a peer, now. Nobody has to approve it.

    When its time is over, it is announced again while the link is full, or else withdrawn.

    Example: xdpctl upstream announce --match "udp src-port 53 dst 198.51.100.7" --to isp1 --bps 2M
    """
    if blackhole and divert:
        raise typer.BadParameter("give --blackhole or --divert, not both")
    body = {
        "match": text.parse(match).as_json(),
        "peer": peer,
        "bps": number(bps, "bps"),
        "kind": "rtbh" if blackhole else "diversion" if divert else "flowspec",
        "ttl": ttl,
        "incident": incident,
        "confirm": confirm,
    }
    announcement = options.client(context).call("POST", "/v1/upstream/announcements", json=body)
    if not printed(announcement, form):
        _announcements([announcement], form)


@upstream_app.command("approve")
def approve(
    context: typer.Context,
    number: Annotated[
        str, typer.Argument(metavar="ID", help="Id of a proposal; see xdpctl upstream status.")
    ],
    confirm: Annotated[
        str,
        typer.Option(help="The destination; needed for all of a prefix or a protected address."),
    ] = "",
    form: options.Output = Format.TABLE,
) -> None:
    """Announce a proposal to its peer.

    When its time is over, it is announced again while the link is full, or else withdrawn.

    Example: xdpctl upstream approve up-4a1c47cdff
    """
    call = options.client(context).call
    announcement = call(
        "POST", path("upstream", "announcements", number), json={"confirm": confirm}
    )
    if not printed(announcement, form):
        _announcements([announcement], form)


@upstream_app.command("withdraw")
def withdraw(
    context: typer.Context,
    number: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Id of an announcement or proposal.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All announcements and proposals.")
    ] = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Withdraw an announcement from its peer, or drop a proposal.

    Example: xdpctl upstream withdraw --all
    """
    if (number is None) != everything or number == "":
        raise typer.BadParameter("give an id, or --all")
    where = path("upstream", "announcements", *([] if number is None else [number]))
    gone = options.client(context).call("DELETE", where)
    if printed(gone, form):
        return
    for identity, what in gone["withdrawn"].items():
        output.out.print(f"{identity} withdrawn: {what}", markup=False)
    if not gone["withdrawn"]:
        output.out.print("nothing was announced or proposed")


class Seen(StrEnum):
    """What a person found in the provider's looking glass."""

    YES = "yes"
    NO = "no"


@upstream_app.command("rehearse")
def rehearse(
    context: typer.Context,
    peer: Annotated[str, typer.Argument(help="Name of a peer.")],
    address: Annotated[
        str | None, typer.Option(help="A spare address of yours, which nobody uses.")
    ] = None,
    blackhole: Annotated[
        bool, typer.Option("--blackhole", help="By a blackhole (RTBH) instead of FlowSpec.")
    ] = False,
    seen: Annotated[
        Seen | None, typer.Option(help="Whether you found the route at the provider.")
    ] = None,
    form: options.Output = Format.TABLE,
) -> None:
    """Ask a peer to drop everything to a spare address for two minutes, to see whether it does.

    Send packets to that address from outside, from ten seconds before: ping -i 0.05 198.51.100.250.
    Without them nobody can tell whether the peer drops them. Then look for the route at the
    provider, and say with --seen whether you found it.

    Example: xdpctl upstream rehearse isp1 --address 198.51.100.250
    """
    if (address is None) == (seen is None):
        raise typer.BadParameter("give --address, or afterwards --seen")
    call, kind = options.client(context).call, "rtbh" if blackhole else "flowspec"
    if seen is not None:
        found = {"seen": seen is Seen.YES, "kind": kind}
        record = call("PUT", path("upstream", "peers", peer, "rehearsal"), json=found)
    else:
        body = {"address": address, "kind": kind}
        begun = call("POST", path("upstream", "peers", peer, "rehearsals"), json=body)
        if form is not Format.JSON:
            output.out.print(f"{peer} is asked to {begun['what']}, for two minutes", markup=False)
            _look(call, peer, begun["victim"])
        record = _rehearsed(call, peer, begun)
    if not printed(record, form):
        says = _last(record, kind)["says"]
        output.out.print(f"{peer}: {says}", markup=False)


def _look(call: Callable[..., Any], name: str, victim: str) -> None:
    """Say where a person can look for the route."""
    (peer,) = (each for each in call("GET", "/v1/upstream")["peers"] if each["name"] == name)
    if peer["looking_glass"]:
        where = peer["looking_glass"].replace("{prefix}", victim)
        output.out.print(f"look for it meanwhile: {where}", markup=False)


def _rehearsed(call: Callable[..., Any], name: str, begun: dict[str, Any]) -> dict[str, Any]:
    """Wait for the result of a rehearsal; return the peer."""
    for _ in range(_WAITED):
        peers = call("GET", "/v1/upstream")["peers"]
        peer: dict[str, Any] = next(each for each in peers if each["name"] == name)
        last = _last(peer, begun["kind"])
        if last and last["at"] >= begun["sent_at"]:
            return peer
        time.sleep(1)
    raise XdpctlError(f"nothing came of the rehearsal of {name}; see xdpctl upstream status")


def _last(peer: dict[str, Any], kind: str) -> dict[str, Any]:
    """The last rehearsal of a peer by that kind of routes; empty if there is none."""
    return next((each for each in peer["rehearsals"] if each["kind"] == kind), {})


@upstream_app.command("freeze")
def freeze(
    context: typer.Context,
    peer: Annotated[str, typer.Argument(help="Name of a peer.")],
    off: Annotated[bool, typer.Option("--off", help="Add rules again.")] = False,
    form: options.Output = Format.TABLE,
) -> None:
    """Add no more rules for what a peer sends; existing ones end as usual.

    Example: xdpctl upstream freeze isp1
    """
    where = path("upstream", "peers", peer, "freeze")
    record = options.client(context).call("POST", where, json={"on": not off})
    if not printed(record, form):
        _peers([record], form)


def _row(uplink: dict[str, Any]) -> tuple[str, ...]:
    bits, share, lost, out = (uplink[name] for name in ("bits", "share", "lost", "share_out"))
    return (
        uplink["interface"],
        _state(uplink),
        "-" if bits is None else f"{si3(bits)}bit/s",
        f"{si3(uplink['bits_in'])}bit/s",
        ("-" if share is None else f"{share:.0%}") + ("" if out is None else f", out {out:.0%}"),
        "-" if lost is None else si3(lost),
    )


def _state(uplink: dict[str, Any]) -> str:
    if not uplink["filtered"]:
        return "not filtered"
    if uplink["full_for"]:
        return f"full for {show_duration(uplink['full_for'])}"
    if uplink["full_out_for"]:
        return "what goes out fills it"
    return "bits_in is too low" if uplink["rate_is_wrong"] else "ok"
