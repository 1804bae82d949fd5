# SPDX-License-Identifier: GPL-2.0-or-later
"""The live view's requests to the control plane, and the texts that it shows. No Textual here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xdpctl.base.durations import show_duration
from xdpctl.base.units import si3
from xdpctl.cli import waiting
from xdpctl.cli.live import tables
from xdpctl.cli.live.tables import ApiClient, Columns, Line
from xdpctl.errors import Refused

VERDICTS = ("all", "pass", "drop")
SORTS = ("packets", "bits")
_BLOCKS = "▁▂▃▄▅▆▇█"
_HISTORY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab with a table: its name, and the dimension whose values the table counts."""

    name: str
    by: str


TABS = (
    Tab("Unusual", "unusual"),
    Tab("Rules", "rule"),
    Tab("Incidents", "incident"),
    Tab("Hosts", "destination"),
    Tab("From", "source"),
    Tab("From net", "source_network"),
    Tab("From port", "source_port"),
    Tab("To port", "destination_port"),
    Tab("Flags", "tcp_flags"),
    Tab("Served", "served"),
    Tab("Nets", "destination_network"),  # this tab and the next ones have no number key
    Tab("ICMP", "icmp"),
    Tab("AS", "as"),
)


def tab(by: str) -> Tab:
    """The tab of the first dimension of a list; the first tab if no tab has that dimension."""
    first = by.split(",")[0].strip().replace("-", "_")
    return next((candidate for candidate in TABS if candidate.by == first), TABS[0])


@dataclass(frozen=True, slots=True)
class View:
    """What the user has chosen to see. `where` is the text of a match, or empty."""

    tab: Tab = TABS[0]
    verdict: str = "all"
    sort: str = "packets"
    where: str = ""
    window: str = "5s"

    def next_verdict(self) -> "View":
        """The same view with the next verdict."""
        place = VERDICTS.index(self.verdict) + 1 if self.verdict in VERDICTS else 0
        return replace(self, verdict=VERDICTS[place % len(VERDICTS)])

    def next_sort(self) -> "View":
        """The same view in the next sort order."""
        return replace(self, sort=SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)])


@dataclass(frozen=True, slots=True)
class Look:
    """What the screen shows at one time: the table's columns and lines, and the header's texts."""

    columns: tuple[str, ...]
    lines: Sequence[Line]
    state: str
    problems: Sequence[str]
    rates: Sequence[str]
    refusal: str = ""  # why the control plane refused the table
    bypass: bool = False
    detectors_off: bool = False
    known: bool = True  # whether the state of the box is


def look(client: ApiClient, view: View) -> Look:
    """Request everything that the screen shows from the control plane."""
    status = client.call("GET", "/v1/status")
    automatic = client.call("GET", "/v1/automatic")
    condition, detector = waiting.word(client), client.call("GET", "/v1/detect")
    rates, problems = _rates(_history(client)), [*status["problems"]]
    why = "; ".join(condition["reasons"][:2])
    head = f"{condition['state']}: {why}\n{state(status, automatic, detector)}"
    columns: Columns = ()
    lines, refusal = list[Line](), ""
    try:
        columns, lines = _table(client, view, condition)
    except Refused as error:
        refusal = str(error)
    is_off = (automatic["mode"] or automatic["configured"]) == "off"
    bypass, known = bool(status["bypass"]), condition["state"] not in ("unknown", "unclear")
    return Look(columns, lines, head, problems, rates, refusal, bypass, is_off, known)


def _table(
    client: ApiClient, view: View, condition: Mapping[str, Any]
) -> tuple[Columns, list[Line]]:
    if view.tab.by == "unusual":
        return tables.unusual(condition)
    if view.tab.by == "rule":
        return tables.rules(client)
    if view.tab.by == "served":
        return tables.served(client.call("GET", "/v1/served")["services"])
    if view.tab.by == "incident":
        return tables.incidents(client)
    query = {"by": view.tab.by, "verdict": view.verdict, "window": view.window}
    query |= {"where": view.where} if view.where else {}
    return tables.traffic(client, view.tab.name, query, view.sort)


def aligned(snapshot: Look) -> list[Line]:
    """The lines with the cells of numeric columns aligned at the right."""
    columns = list(zip(*(line.cells for line in snapshot.lines), strict=True))
    widths = [
        max(map(len, [name.lstrip(">"), *cells])) if name.startswith(">") else 0
        for name, cells in zip(
            snapshot.columns, columns or [()] * len(snapshot.columns), strict=True
        )
    ]
    return [
        replace(
            line,
            cells=tuple(cell.rjust(n) for cell, n in zip(line.cells, widths, strict=True)),
        )
        for line in snapshot.lines
    ]


def state(
    status: Mapping[str, Any], automatic: Mapping[str, Any], detector: Mapping[str, Any]
) -> str:
    """Whether the box filters, what detectors may do, and whether its own one runs."""
    filtering = "BYPASS: everything passes" if status["bypass"] else "filtering"
    mode = automatic["mode"] or automatic["configured"]
    used = {table["name"]: table["used"] for table in status["tables"]}
    rules = used.get("rules", 0) + used.get("matches", 0)
    own = "" if detector["runs"] else " · detector does not report"
    own = " · detector off" if detector["mode"] == "off" else own
    text = f"{filtering} · detectors {mode}{own} · {rules:,} {'rule' if rules == 1 else 'rules'}"
    return text + (" · more is expected now" if status["expected"] else "")


def _history(client: ApiClient) -> Mapping[str, Any]:
    """The figures of the last minute; empty if none are recorded."""
    names = "pass_packets,pass_bits,drop_packets,drop_bits"
    query = {"names": names, "since": f"{_HISTORY_SECONDS}s", "points": _HISTORY_SECONDS}
    try:
        figures: Mapping[str, Any] = client.call("GET", "/v1/series", params=query)["figures"]
    except Refused:
        return {}
    return figures


def _rates(figures: Mapping[str, Any]) -> list[str]:
    """A line for each verdict: rates now, and a graph of the last minute."""
    lines = []
    for verdict, word in (("pass", "passed"), ("drop", "dropped")):
        packets = figures.get(f"{verdict}_packets", {}).get("averages", [])
        bits = figures.get(f"{verdict}_bits", {}).get("averages", [])
        rates = f"{_newest(packets):>7} packets/s {_unit(_newest(bits)):>12}"
        lines.append(f"{word:<8}{rates}  {graph(packets, _HISTORY_SECONDS // 2)}")
    return lines


def _newest(values: Sequence[float | None]) -> str:
    known = [value for value in values[-3:] if value is not None]
    return si3(known[-1]) if known else "?"


def _unit(bits: str) -> str:
    """`452 Mbit/s`, `0 bit/s`."""
    return f"{bits}bit/s" if " " in bits else f"{bits} bit/s"


def graph(values: Sequence[float | None], width: int) -> str:
    """Bars of the newest values. A character stands for two values and shows the larger one."""
    newest = list(values)[-2 * width :]
    pairs = [newest[at : at + 2] for at in range(0, len(newest), 2)]
    known = [max((value for value in pair if value is not None), default=None) for pair in pairs]
    most = max((value for value in known if value is not None), default=0.0) or 1.0
    top = len(_BLOCKS) - 1
    return "".join(
        " " if value is None else _BLOCKS[min(top, round(value / most * top))] for value in known
    )


def block(line: Line, trial: str | None) -> dict[str, Any]:
    """The request that drops a line's packets, for good or for a trial."""
    body = {"match": line.match, "action": "drop", "reason": f"top: {line.key}"[:200]}
    return body | ({"confirm_within": trial} if trial else {})


def challenge(line: Line, trial: str | None) -> dict[str, Any]:
    """The request that challenges the SYNs of a line."""
    return block(line, trial) | {"action": "challenge"}


def limit(line: Line, pps: float, trial: str | None) -> dict[str, Any]:
    """The request that limits a line's packets, all together."""
    rate = {"pps": pps, "per": "all"}
    return block(line, trial) | {"action": "limit", "limit": rate}


def done(rule: Mapping[str, Any]) -> str:
    """What was done, and how to take it back or keep it."""
    until = ""
    if rule["confirm_in"] is not None:
        seconds = show_duration(rule["confirm_in"])
        until = f"; it ends in {seconds} unless confirmed: press c, or xdpctl confirm {rule['id']}"
    undo = f"; undo: xdpctl undo {rule['change']}" if rule.get("change") else ""
    return f"{rule['action']} {rule['text']}{until}{undo}"
