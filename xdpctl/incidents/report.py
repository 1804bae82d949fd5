# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports of an incident as Markdown, HTML and CSV. Pure.

`incident` is the JSON of GET /v1/incidents/{id}. Its texts from detectors and attackers are
escaped.
"""

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from xdpctl.base.spreadsheet import cell
from xdpctl.base.times import unix
from xdpctl.base.units import si
from xdpctl.incidents import reasons
from xdpctl.incidents.in_short import in_short
from xdpctl.incidents.plot import chart, clock
from xdpctl.model.event import Phase, attacks_in_words

if TYPE_CHECKING:
    from jinja2 import Template

_RECEIVED = (
    "None of them was dropped by a rule of this incident: they are packets sent to the victim, and "
    "legitimate senders are among them"
)
FORGED = (
    "Source addresses are those in the packets. A verified one had completed a TCP handshake with "
    "this host at the time; any other is possibly spoofed. An address does not prove who attacked."
)
_SEEN_SECONDS = 40.0  # after the begin: earlier counts of newcomers are from before the incident


def facts(incident: dict[str, Any]) -> dict[str, str]:
    """The summary of an incident, as texts by name."""
    closed = "ongoing"
    if incident["closed_at"]:
        closed = f"{_utc(incident['closed_at'])}, {incident['closed_by']}"
    named = (
        f"{incident['sources_named']:,}" if incident["sources_named"] else "none: only the victim"
    )
    evidence = incident["evidence"]
    number = evidence["sources"]
    senders = f"{number:,} address{'' if number == 1 else 'es'}"
    packets = f"{evidence['packets']:,}, from {senders}" if evidence["packets"] else "none"
    damage = f"; {evidence['damage']}" if evidence["damage"] else ""
    if evidence["received"]:
        packets += f". {_RECEIVED}"
    return {
        "incident": incident["id"],
        "victim": incident["named"],
        "began": _utc(incident["opened_at"]),
        "ended": closed,
        "attack": attacks_in_words(incident["attacks"]) or "-",
        "reported by": ", ".join(incident["detectors"]),
        "peak": _peak(incident),
        "peak of drops": _worst(evidence["rates"]),
        "newcomers": _newcomers(evidence["rates"]),
        "sources named": named,
        "rules": f"{incident['rules_made']:,} made, {incident['rules_ended']:,} ended",
        "they hit": f"{si(incident['packets'])} packets, {si(incident['bytes'])}B",
        "packets kept": packets + damage,
        "clock": _sure(incident["clock_error"]),
    }


def timeline(incident: dict[str, Any]) -> list[tuple[float, str]]:
    """Events and rules as (Unix time, text), sorted by time."""
    lines = [(event["at"], line) for event, line in _folded(incident["events"])]
    for rule in incident["rules"]:
        mode = ", monitor" if rule["mode"] == "monitor" else ""
        lines.append((rule["at"], f"{rule['action']} {rule['what']}{mode} ({rule['id']})"))
        if rule["ended_at"]:
            hit = f"{rule['packets']:,} packets hit"
            whom = f"; {rule['collateral']}" if rule["collateral"] else ""
            lines.append((rule["ended_at"], f"ended {rule['what']}: {rule['why']}; {hit}{whom}"))
    lines += [(note["at"], f"note by {note['who']}: {note['text']}") for note in incident["notes"]]
    left = incident["events_told"] - len(incident["events"])
    if left > 0:
        lines.append((incident["updated_at"], f"and {left:,} more events"))
    left = incident["rules_made"] - len(incident["rules"])
    if left > 0:
        lines.append((incident["updated_at"], f"and {left:,} more rules"))
    return sorted(((unix(at), line) for at, line in lines), key=lambda line: line[0])


def _folded(events: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    """Each event with its line; those that only say that an attack goes on are one line."""
    going: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for event in events:
        key = event["detector"], event["event"]
        if event["phase"] == Phase.CONTINUES:
            going.setdefault(key, []).append(event)
            continue
        yield from _told_once(going.pop(key, []))
        yield event, _event_line(event)
    for rest in going.values():
        yield from _told_once(rest)


def _told_once(events: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str]]:
    if not events:
        return
    loudest = max(events, key=lambda event: (event["pps"], event["bps"]))
    more = f", reported {len(events):,} times until {clock(unix(events[-1]['at']))}"
    yield events[0], _event_line(loudest) + (more if len(events) > 1 else "")


def place(sender: dict[str, Any]) -> str:
    """The country and network of a sender, as `US, AS64496 Example`; unknown parts are left out."""
    network = f"AS{sender['asn']} {sender['as_name']}".strip() if sender["asn"] else ""
    return ", ".join(part for part in (sender["country"], network) if part)


def standing(sender: dict[str, Any]) -> str:
    """Whether a sender's address is verified or possibly spoofed, and whether it is inside."""
    inside = ", inside" if sender["inside"] else ""
    return ("verified" if sender["connected"] else "possibly spoofed") + inside


def markdown(incident: dict[str, Any]) -> str:
    """The report of an incident as Markdown."""
    known = facts(incident)
    lines = [f"# Incident {incident['id']}", ""]
    lines += [f"- **{name}**: {plain(text)}" for name, text in in_short(incident, known).items()]
    lines += ["", f"Times are UTC. {FORGED}", "", "## Facts", ""]
    lines += [f"- **{name}**: {plain(value)}" for name, value in known.items()]
    lines += ["", "## Timeline", "", "| time | what |", "|---|---|"]
    lines += [f"| {clock(at)} | {plain(line)} |" for at, line in timeline(incident)]
    for finding in incident["findings"]:
        lines += ["", f"## Why: {plain(reasons.title(finding, reasons.asked(incident)))}", ""]
        lines += [f"- {plain(line)}" for line in reasons.sentences(finding)]
        if shares := reasons.bars(finding):
            name = finding["picture"]["component"].replace("_", " ")
            lines += ["", f"| {name} | in the packets now | in normal traffic |", "|---|--:|--:|"]
            lines += [f"| {plain(bar)} | {now:.1%} | {before:.1%} |" for bar, now, before in shares]
    evidence = incident["evidence"]
    if evidence["packets"]:
        lines += ["", "## Packets kept", *(["", _RECEIVED] if evidence["received"] else [])]
        lines += ["", "| from | packets | | where |", "|---|---|---|---|"]
        for sender in evidence["top_sources"]:
            cells = (sender["address"], sender["packets"], standing(sender), plain(place(sender)))
            lines.append(f"| {' | '.join(map(str, cells))} |")
        lines += ["", *(f"- {name}: {count}" for name, count in evidence["top_services"])]
    if incident["sources"]:
        lines += [
            "",
            "## Sources named",
            "",
            *(f"- {plain(source)}" for source in incident["sources"]),
        ]
        left = incident["sources_named"] - len(incident["sources"])
        lines += [f"- and {left:,} more"] if left > 0 else []
    return "\n".join(lines)


def page(incident: dict[str, Any]) -> str:
    """The report as one HTML page without external resources, made to be printed."""
    lines = [(clock(at), line) for at, line in timeline(incident)]
    senders = [
        (sender, standing(sender), place(sender)) for sender in incident["evidence"]["top_sources"]
    ]
    known = facts(incident)
    return _template().render(
        incident=incident,
        short=in_short(incident, known),
        facts=known,
        timeline=lines,
        senders=senders,
        forged=FORGED,
        chart=chart(incident["evidence"]["rates"]),
        findings=findings(incident),
    )


def findings(incident: dict[str, Any]) -> list[tuple[str, list[str], str, Any]]:
    """For each rule with a finding: its text, the sentences, the picture's name, and its bars."""
    rules = reasons.asked(incident)
    return [
        (
            reasons.title(finding, rules),
            list(reasons.sentences(finding)),
            (finding["picture"] or {}).get("component", "").replace("_", " "),
            reasons.bars(finding),
        )
        for finding in incident["findings"]
    ]


def sources_csv(incident: dict[str, Any]) -> str:
    """The sources as CSV: those named by detectors, then those of the kept packets."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("source", "standing", "packets_kept", "country", "asn", "as_name"))
    for source in incident["sources"]:
        rows.writerow((cell(source), "named by a detector", "", "", "", ""))
    evidence = incident["evidence"]
    for sender in evidence["top_sources"]:
        where = (sender["country"], sender["asn"] or "", cell(sender["as_name"]))
        stands = standing(sender) + ("; sent to the victim" if evidence["received"] else "")
        rows.writerow((sender["address"], stands, sender["packets"], *where))
    return out.getvalue()


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined  # imported late: most commands need no page

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    source = (files("xdpctl.incidents") / "report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source)


def _sure(error: float | None) -> str:
    """How accurate the times of the incident are."""
    if error is None:
        return "was not synchronised; incident.json has times of the kernel's monotonic clock"
    return f"synchronised (NTP), within {error * 1e3:,.0f} ms"


def _worst(rates: list[list[float]]) -> str:
    if not rates:
        return "not measured"
    at, packets, size, *_ = max(rates, key=lambda row: row[1])
    return f"{si(packets)} packets/s, {si(size)}bit/s, measured at {clock(at)[:8]}"


def _newcomers(rates: list[list[Any]]) -> str:
    """The fewest newcomers at the victim; their number is known 20 s later."""
    known = [row for row in rates if row[5] is not None and row[0] >= rates[0][0] + _SEEN_SECONDS]
    if not known:
        return "not measured"
    at, *_, now, usual = min(known, key=lambda row: row[5])
    return (
        f"at least {now:.0f} a minute got in, usually {usual:.0f}; fewest at {clock(at)[:8]}; bots "
        "that complete handshakes are among them"
    )


def _event_line(event: dict[str, Any]) -> str:
    rate = f", {si(event['pps'])} packets/s" if event["pps"] else ""
    note = f": {event['note']}" if event["note"] else ""
    return f"{event['detector']} {event['phase']} {event['event']} {event['attack']}{rate}{note}"


def _utc(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def plain(text: str) -> str:
    """The text with the special characters of Markdown and HTML escaped."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|])", r"\\\1", text)


def _peak(incident: dict[str, Any]) -> str:
    rates = ((incident["peak_pps"], " packets/s"), (incident["peak_bps"], "bit/s"))
    shown = [f"{si(rate)}{unit}" for rate, unit in rates if rate]
    return f"{', '.join(shown)}, reported by detectors" if shown else "no rate reported"
