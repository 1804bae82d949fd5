# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables of the live view: traffic by a dimension, rules by their rate, incidents."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from xdpctl.base.durations import show_duration
from xdpctl.base.units import si3, wait

_ROWS = 50
Columns = tuple[str, ...]  # `>` before a name: aligned at the right


class ApiClient(Protocol):
    """The part of the API's client that is used."""

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
    ) -> Any:
        """The answer; Refused or Unreachable."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table. `match` is the text of a match of its packets, or empty."""

    key: str
    cells: tuple[str, ...]
    match: str = ""
    address: str = ""  # of a single source
    incident: str = ""


def traffic(
    client: ApiClient, name: str, query: Mapping[str, Any], sort: str
) -> tuple[Columns, list[Line]]:
    """The most frequent values of a dimension, which is called `name`."""
    asked = {**query, "limit": _ROWS}
    (found,) = client.call("GET", "/v1/top", params=asked)["dimensions"]
    rows = sorted(found["rows"], key=lambda row: -row[sort])
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
        )
        for row in rows
    ]
    return (name, ">packets/s", ">bit/s", ">share", "match"), lines


def rules(client: ApiClient) -> tuple[Columns, list[Line]]:
    """The rules that hit most packets a second."""
    listed = client.call("GET", "/v1/rules", params={"sort": "rate", "limit": _ROWS})["rules"]
    lines = [
        Line(
            key=each["id"],
            cells=(
                each["text"],
                each["action"] + (" (monitor)" if each["mode"] == "monitor" else ""),
                si3(each["rate"]),
                si3(each["packets"]),
                _ends(each),
                printable(each["reason"]),
            ),
        )
        for each in listed
    ]
    return ("rule", "action", ">packets/s", ">hits", "ends in", "reason"), lines


def _ends(rule: Mapping[str, Any]) -> str:
    """When a rule ends; `?` marks one that ends unless it is confirmed."""
    if rule["confirm_in"] is not None:
        return f"{show_duration(rule['confirm_in'])}?"
    return "never" if rule["expires_in"] is None else show_duration(rule["expires_in"])


def incidents(client: ApiClient) -> tuple[Columns, list[Line]]:
    """The newest incidents."""
    listed = client.call("GET", "/v1/incidents", params={"limit": _ROWS})["incidents"]
    lines = [
        Line(
            key=each["id"],
            cells=(
                printable(each["subject"]),
                "open" if each["open"] else "over",
                datetime.fromtimestamp(each["opened_at"], UTC).strftime("%Y-%m-%d %H:%M:%S"),
                printable(", ".join(each["attacks"])) or "-",
                each["id"],
            ),
            incident=each["id"],
        )
        for each in listed
    ]
    return ("subject", "state", "since (UTC)", "attacks", "id"), lines


def served(services: Iterable[Mapping[str, Any]]) -> tuple[Columns, list[Line]]:
    """Services inside, as GET /v1/served has them."""
    lines = [
        Line(
            key=f"{each['address']} {each['protocol']} {each['port']}",
            cells=(
                each["address"],
                f"{each['protocol']} {each['port']}",
                si3(each["served"]),
                "?" if each["usual"] is None else si3(each["usual"]),
                si3(each["asked"]),
                wait(each["syn_ack"]),
                wait(each["data"]),
                wait(each["usual_data"]),
            ),
            match=f"dst {each['address']} proto {each['protocol']} dst-port {each['port']}",
        )
        for each in services
    ]
    columns = ("at", "service", ">served/min", ">usual", ">asked/min")
    return (*columns, ">SYN-ACK within", ">data within", ">usual wait"), lines


def printable(text: str) -> str:
    """The text without control characters, which may come from names of others."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
