# SPDX-License-Identifier: GPL-2.0-or-later
"""An incident to hand on: as Markdown, as a page, as text for others. Pure.

`held` is as GET /v1/incidents/{id} answers it. What a detector or an attacker wrote is in it, and
has no meaning in any of these.
"""

import csv
import io
import re
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from xdpctl.base.units import si

if TYPE_CHECKING:
    from jinja2 import Template

_FORGED = (
    "Source addresses are what packets said. A verified one had completed a TCP handshake with "
    "this host at the time; every other is possibly spoofed. An address is not a culprit."
)
_WIDTH, _HEIGHT = 900.0, 160.0  # of the chart
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would take for one


def facts(held: dict[str, Any]) -> dict[str, str]:
    """What it comes to, by name."""
    closed = f"{_utc(held['closed_at'])}, {held['closed_by']}" if held["closed_at"] else "goes on"
    named = f"{held['sources_named']:,}" if held["sources_named"] else "none: only the victim"
    kept = held["evidence"]
    packets = (
        f"{kept['packets']:,}, from {kept['sources']:,} addresses" if kept["packets"] else "none"
    )
    damage = f"; {kept['damage']}" if kept["damage"] else ""
    return {
        "incident": held["id"],
        "victim": held["subject"],
        "began": _utc(held["opened_at"]),
        "ended": closed,
        "attack": ", ".join(held["attacks"]) or "-",
        "reported by": ", ".join(held["detectors"]),
        "peak": _peak(held),
        "peak of drops": _worst(kept["rates"]),
        "sources named": named,
        "rules": f"{held['rules_made']:,} made, {held['rules_ended']:,} ended",
        "they hit": f"{si(held['packets'])} packets, {si(held['bytes'])}B",
        "packets kept": packets + damage,
        "clock": _sure(held["clock_error"]),
    }


def timeline(held: dict[str, Any]) -> list[tuple[float, str]]:
    """Everything in its order, by Unix time."""
    lines = [(event["at"], _said(event)) for event in held["events"]]
    for rule in held["rules"]:
        mode = ", monitor" if rule["mode"] == "monitor" else ""
        lines.append((rule["at"], f"{rule['action']} {rule['what']}{mode} ({rule['id']})"))
        if rule["ended_at"]:
            hit = f"{rule['packets']:,} packets hit"
            lines.append((rule["ended_at"], f"ended {rule['what']}: {rule['why']}; {hit}"))
    left = held["events_told"] - len(held["events"])
    if left > 0:
        lines.append((held["updated_at"], f"and {left:,} more events"))
    left = held["rules_made"] - len(held["rules"])
    if left > 0:
        lines.append((held["updated_at"], f"and {left:,} more rules"))
    return sorted(lines, key=lambda line: line[0])


def clock(unix: float) -> str:
    """UTC, with milliseconds."""
    return datetime.fromtimestamp(unix, UTC).strftime("%H:%M:%S.%f")[:-3]


def place(sender: dict[str, Any]) -> str:
    """`US, AS64496 Example`, as far as it is known."""
    network = f"AS{sender['asn']} {sender['as_name']}".strip() if sender["asn"] else ""
    return ", ".join(part for part in (sender["country"], network) if part)


def standing(sender: dict[str, Any]) -> str:
    """How far an address is to be believed, and whether it is ours."""
    inside = ", inside" if sender["inside"] else ""
    return ("verified" if sender["connected"] else "possibly spoofed") + inside


def markdown(held: dict[str, Any]) -> str:
    """The whole incident, as the API shows it, as a Markdown page."""
    lines = [f"# Incident {held['id']}", ""]
    lines += [f"- **{name}**: {_plain(value)}" for name, value in facts(held).items()]
    lines += ["", f"Times are UTC. {_FORGED}"]
    lines += ["", "## Timeline", "", "| time | what |", "|---|---|"]
    lines += [f"| {clock(at)} | {_plain(line)} |" for at, line in timeline(held)]
    kept = held["evidence"]
    if kept["packets"]:
        lines += ["", "## Packets kept", "", "| from | packets | | where |", "|---|---|---|---|"]
        for one in kept["top_sources"]:
            told = f"{one['address']} | {one['packets']} | {standing(one)} | {_plain(place(one))}"
            lines.append(f"| {told} |")
        lines += ["", *(f"- {name}: {count}" for name, count in kept["top_services"])]
    if held["sources"]:
        lines += ["", "## Sources named", "", *(f"- {_plain(one)}" for one in held["sources"])]
        left = held["sources_named"] - len(held["sources"])
        lines += [f"- and {left:,} more"] if left > 0 else []
    return "\n".join(lines)


def page(held: dict[str, Any]) -> str:
    """One HTML page that needs nothing else, made to be printed."""
    lines = [(clock(at), line) for at, line in timeline(held)]
    senders = [(one, standing(one), place(one)) for one in held["evidence"]["top_sources"]]
    return _template().render(
        held=held,
        facts=facts(held),
        timeline=lines,
        senders=senders,
        forged=_FORGED,
        chart=_chart(held["evidence"]["rates"]),
    )


def sources_csv(held: dict[str, Any]) -> str:
    """A line a source: those that were named, then those that kept packets say."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("source", "standing", "packets_kept", "country", "asn", "as_name"))
    for source in held["sources"]:
        rows.writerow((_cell(source), "named by a detector", "", "", "", ""))
    for one in held["evidence"]["top_sources"]:
        where = (one["country"], one["asn"] or "", _cell(one["as_name"]))
        rows.writerow((one["address"], standing(one), one["packets"], *where))
    return out.getvalue()


def to_provider(held: dict[str, Any]) -> str:
    """A draft for the provider's NOC."""
    kept = held["evidence"]
    seen = ", ".join(name for name, _ in kept["top_services"][:5]) or "see the timeline"
    said = facts(held)
    return (
        f"Subject: DDoS against {held['subject']}, {said['began']}\n\n"
        "Hello,\n\n"
        f"{held['subject']} was attacked from {said['began']} to {said['ended']}.\n"
        f"Type: {said['attack']}. Peak as measured here: {said['peak']}.\n"
        f"Most of it: {seen}. We dropped {said['they hit']}.\n\n"
        "Could you please\n"
        "- tell us what you saw of it on your side of our link, and where it entered,\n"
        "- filter or rate-limit it upstream if it comes back,\n"
        "- keep your flow records of that time.\n\n"
        "Attached are the timeline, a list of sources and sampled packets. "
        f"{_FORGED}\n"
    )


def to_ic3(held: dict[str, Any]) -> str:
    """What the complaint form of the FBI's IC3 asks for, as far as this box knows it."""
    said = facts(held)
    return (
        "For a complaint at the Internet Crime Complaint Center. Fill in what is in brackets.\n\n"
        "Complainant: [name, address, telephone, e-mail]\n"
        "Business: [name of the organisation, contact for technical questions]\n"
        "Type: denial of service (DoS/DDoS)\n"
        f"Target: {held['subject']} [name of the service]\n"
        f"Began: {said['began']}\nEnded: {said['ended']}\n"
        f"Attack: {said['attack']}\nPeak: {said['peak']}\n"
        f"Dropped by us: {said['they hit']}\n"
        "Financial loss: [amount, or none]\n"
        "Ransom or threat: [text and headers of the message, or none]\n"
        f"Addresses that took part: sources.csv. {_FORGED}\n"
        "Evidence kept: incident.json, packets.pcapng, with SHA-256 in manifest.json\n"
    )


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined  # late: most commands draw no page

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    source = (files("xdpctl.incidents") / "report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source)


def _peak(held: dict[str, Any]) -> str:
    rates = ((held["peak_pps"], " packets/s"), (held["peak_bps"], "bit/s"))
    told = [f"{si(rate)}{unit}" for rate, unit in rates if rate]
    return f"{', '.join(told)}, by the detectors" if told else "no rate reported"


def _sure(error: float | None) -> str:
    """How far its times are to be believed."""
    if error is None:
        return "was not synchronised; the kernel's own clock is in incident.json"
    return f"synchronised (NTP), within {error * 1e3:,.0f} ms"


def _worst(rates: list[list[float]]) -> str:
    if not rates:
        return "not measured"
    at, packets, size, *_ = max(rates, key=lambda row: row[1])
    return f"{si(packets)} packets/s, {si(size)}bit/s, measured at {clock(at)[:8]}"


def _chart(rates: list[list[float]]) -> dict[str, Any] | None:
    """Lines of what its rules dropped and what the box passed, as an SVG draws them."""
    if len(rates) < 2:
        return None
    first, last = rates[0][0], rates[-1][0]
    most = max(max(row[1], row[3]) for row in rates) or 1.0

    def line(column: int) -> str:
        across = ((row[0] - first) / (last - first or 1.0) * _WIDTH for row in rates)
        up = (_HEIGHT * (1 - row[column] / most) for row in rates)
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))

    ends = {"first": clock(first)[:8], "last": clock(last)[:8], "most": f"{si(most)} packets/s"}
    return {"hit": line(1), "passed": line(3), "width": _WIDTH, "height": _HEIGHT, **ends}


def _said(event: dict[str, Any]) -> str:
    rate = f", {si(event['pps'])} packets/s" if event["pps"] else ""
    note = f": {event['note']}" if event["note"] else ""
    return f"{event['detector']} {event['phase']} {event['event']} {event['attack']}{rate}{note}"


def _utc(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _plain(text: str) -> str:
    """Without a meaning in Markdown or HTML."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|])", r"\\\1", text)


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
