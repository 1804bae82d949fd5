# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of the live view: traffic by a dimension, rules by their rate, incidents."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from xdpctl.base.durations import show_duration
from xdpctl.base.text import printable
from xdpctl.base.units import si3, wait
from xdpctl.model.event import attacks_in_words

_ROWS = 50
Columns = tuple[str, ...]  # names of columns; `>` before a name: right-aligned


class ApiClient(Protocol):
    """The part of the API's client that the live view uses."""

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
    ) -> Any:
        """The answer to a request; raises Refused or Unreachable."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table. `match` is the text of a match of its packets, or empty."""

    key: str
    cells: tuple[str, ...]
    match: str = ""
    address: str = ""  # the address, if the row is about a single source
    incident: str = ""
    action: str = ""  # what is proposed
    pps: float | None = None  # of a limit that is proposed
    rule: str = ""  # id of the rule in monitor mode that does it
    takes: str = ""  # how much traffic the match takes


def unusual(condition: Mapping[str, Any]) -> tuple[Columns, list[Line]]:
    """What waits for a decision, and unusual traffic that passes, as GET /v1/condition has them."""
    lines = [
        Line(
            key=rule["id"],
            cells=(
                printable(rule["words"]),
                si3(rule["rate"]),
                "",
                printable(rule["people"]),
                f"enforce: {rule['proposal']}",
            ),
            match=rule["text"],
            action=rule["proposed"],
            rule=rule["id"],
            takes=f"{si3(rule['rate'])} packets/s",
        )
        for rule in condition["waiting"]
    ]
    lines += [
        Line(
            key=found["match"],
            cells=(
                printable(found["words"]),
                si3(found["packets"]),
                f"{found['share']:.1%}",
                "not known" if found["before"] is None else f"{found['before']:.1%}",
                found["does"],
            ),
            match=found["match"],
            action=found["action"],
            pps=found["limit"]["pps"] if found["limit"] else None,
            takes=_takes(found),
        )
        for found in condition["matches"]
    ]
    return ("what passes", ">packets/s", ">share", ">before", "press Enter to"), lines


def _takes(row: Mapping[str, Any]) -> str:
    return f"{si3(row['packets'])} packets/s, {row['share']:.0%} of what was looked at"


def traffic(
    client: ApiClient, name: str, query: Mapping[str, Any], sort: str
) -> tuple[Columns, list[Line]]:
    """The most frequent values of a dimension, which is called `name`."""
    params = {**query, "limit": _ROWS}
    (dimension,) = client.call("GET", "/v1/top", params=params)["dimensions"]
    rows = sorted(dimension["rows"], key=lambda row: -row[sort])
    lines = [
        Line(
            key=row["value"],
            cells=(
                printable(row["value"]),
                si3(row["packets"]),
                si3(row["bits"]),
                f"{row['share']:.1%} ±{100 * row['error']:.1f}",
                row["match"] or "",
            ),
            match=row["match"] or "",
            address=row["value"] if query["by"] == "source" else "",
            takes=_takes(row),
        )
        for row in rows
    ]
    return (name, ">packets/s", ">bit/s", ">share", "match"), lines


def rules(client: ApiClient) -> tuple[Columns, list[Line]]:
    """The rules that hit most packets a second."""
    records = client.call("GET", "/v1/rules", params={"sort": "rate", "limit": _ROWS})["rules"]
    lines = [
        Line(
            key=rule["id"],
            cells=(
                rule["does"] + (", only counts" if rule["mode"] == "monitor" else ""),
                si3(rule["rate"]),
                si3(rule["packets"]),
                _ends(rule),
                printable(rule["words"]),
                printable(rule["reason"]),
            ),
            match=rule["text"],
            action=rule["action"] if rule["mode"] == "monitor" else "",
            rule=rule["id"] if rule["mode"] == "monitor" else "",
        )
        for rule in records
    ]
    return ("action", ">packets/s", ">hits", "ends in", "rule", "reason"), lines


def _ends(rule: Mapping[str, Any]) -> str:
    """When a rule ends; `?` marks one that ends unless it is confirmed."""
    if rule["confirm_in"] is not None:
        return f"{show_duration(rule['confirm_in'])}?"
    return "never" if rule["expires_in"] is None else show_duration(rule["expires_in"])


def incidents(client: ApiClient) -> tuple[Columns, list[Line]]:
    """The newest incidents."""
    records = client.call("GET", "/v1/incidents", params={"limit": _ROWS})["incidents"]
    lines = [
        Line(
            key=incident["id"],
            cells=(
                printable(incident["named"]),
                "open" if incident["open"] else "over",
                incident["opened_at"][:19].replace("T", " "),
                printable(attacks_in_words(incident["attacks"])) or "-",
                incident["id"],
            ),
            incident=incident["id"],
        )
        for incident in records
    ]
    return ("subject", "state", "since (UTC)", "attacks", "id"), lines


def served(services: Iterable[Mapping[str, Any]]) -> tuple[Columns, list[Line]]:
    """Services inside, as GET /v1/served has them."""
    lines = [
        Line(
            key=f"{service['address']} {service['protocol']} {service['port']}",
            cells=(
                service["address"],
                f"{service['protocol']} {service['port']}",
                si3(service["served"]),
                "?" if service["usual"] is None else si3(service["usual"]),
                si3(service["asked"]),
                wait(service["syn_ack"]),
                wait(service["data"]),
                wait(service["usual_data"]),
            ),
            match=f"dst {service['address']} proto {service['protocol']} "
            f"dst-port {service['port']}",
        )
        for service in services
    ]
    columns = ("at", "service", ">served/min", ">usual", ">asked/min")
    return (*columns, ">SYN-ACK within", ">data within", ">usual wait"), lines
