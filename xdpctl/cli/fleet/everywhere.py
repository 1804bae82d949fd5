# SPDX-License-Identifier: GPL-2.0-or-later
"""Incidents and changes of all nodes of a fleet."""

from typing import Any

from xdpctl.base.units import si3
from xdpctl.cli import output
from xdpctl.cli.formats import Format, printed
from xdpctl.client import Client, path
from xdpctl.model.event import attacks_in_words


def incidents(client: Client, limit: int, form: Format) -> None:
    """List the attacks on all nodes, and each node's part in them."""
    stories = client.call("GET", "/v1/fleet/incidents")["stories"][:limit]
    if printed(stories, form):
        return
    columns = ("began", "victim", "attack", "node", "state", ">peak pps", ">rules", ">packets")
    rows = [_part(story, part) for story in stories for part in story["parts"]]
    if not output.table(columns, rows, form is Format.WIDE):
        output.out.print("no node has had an incident")


def _part(story: dict[str, Any], part: dict[str, Any]) -> tuple[str, ...]:
    return (
        part["opened_at"][:19].replace("T", " "),
        story["subject"],
        attacks_in_words(part["attacks"]),
        part["node"],
        "over" if part["closed_at"] else "goes on",
        si3(part["peak_pps"]),
        str(part["rules"]),
        f"{part['packets']:,}",
    )


def history(client: Client, limit: int, form: Format) -> None:
    """List what people changed on all nodes in the last seven days, the newest first."""
    query = {"limit": limit}
    changes = client.call("GET", "/v1/fleet/history", params=query)["changes"]
    if printed(changes, form):
        return
    columns = ("node", ">change", "at", "by", "what", "on", ">records")
    rows = [
        (
            change["node"],
            str(change["number"]),
            change["at"][:19].replace("T", " "),
            change["actor"],
            change["action"],
            change["subject"].replace("_", "/") or "-",
            f"{change['records']:,}",
        )
        for change in changes
    ]
    if not output.table(columns, rows, form is Format.WIDE):
        output.out.print("nobody has changed anything in the last seven days")


def undo(client: Client, node: str, number: int, force: bool, form: Format) -> None:
    """Undo a change of another node, on all nodes."""
    where = path("fleet", "history", node, str(number), "undo")
    query = {"force": force or None}
    done = client.call("POST", where, params=query)
    if printed(done, form):
        return
    records = output.plural(done["restored"], "record", "records")
    output.out.print(f"put back {records}{output.afterwards(done)}")
    for reason in done["reasons"]:
        output.err.print(f"{reason['subject']} stays: {reason['why']}", markup=False)
