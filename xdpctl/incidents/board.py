# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of an incident for a board: at most two pages, in plain words. Pure.

`incident` is the JSON of GET /v1/incidents/{id}.
"""

from collections.abc import Iterator
from typing import Any

from xdpctl.base.times import unix
from xdpctl.incidents import plot
from xdpctl.incidents.in_short import in_short
from xdpctl.incidents.report import FORGED, facts, plain

_MOMENTS = 12  # of the timeline
_NOTES, _NOTE = 8, 200  # notes that are told, and characters of each
_ASKED = {
    "what": "What happened?",
    "since": "When, and for how long?",
    "done": "What was done?",
    "cost": "Whom did it cost?",
    "open": "What is open?",
}


def markdown(incident: dict[str, Any]) -> str:
    """The report as Markdown."""
    known = facts(incident)
    short = in_short(incident, known)
    lines = [f"# Attack on {plain(incident['named'])}", ""]
    lines += [f"Incident {incident['id']}. Times are UTC.", ""]
    for name, question in _ASKED.items():
        lines += [f"## {question}", "", f"{plain(_sentence(short[name]))}", ""]
    lines += ["## How it went", "", "| time | what |", "|---|---|"]
    lines += [f"| {plot.clock(at)} | {plain(text)} |" for at, text in _moments(incident)]
    lines += ["", "## What is known of the senders", "", _senders(incident), "", FORGED, ""]
    if incident["notes"]:
        lines += ["## What our people noted", ""]
        lines += [_note(note) for note in incident["notes"][:_NOTES]]
        left = len(incident["notes"]) - _NOTES
        lines += [*([f"- and {left} more"] if left > 0 else []), ""]
    lines += ["## Evidence", "", _evidence(incident)]
    return "\n".join(lines)


def _note(note: dict[str, Any]) -> str:
    text = note["text"]
    cut = f"{text[:_NOTE]} …" if len(text) > _NOTE else text
    return f"- {plot.clock(unix(note['at']))}, {plain(note['who'])}: {plain(cut)}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _moments(incident: dict[str, Any]) -> Iterator[tuple[float, str]]:
    """What a reader must know of the timeline: begin, first rules, and the end."""
    yield unix(incident["opened_at"]), f"{incident['detectors'][0]} reported it"
    rules = incident["rules"]
    for rule in rules[: _MOMENTS - 2]:
        mode = ", which only counted" if rule["mode"] == "monitor" else ""
        yield unix(rule["at"]), f"a rule was made: {rule['action']} {rule['what']}{mode}"
    if left := incident["rules_made"] - min(len(rules), _MOMENTS - 2):
        yield unix(incident["updated_at"]), f"and {left:,} more rules"
    if incident["closed_at"]:
        yield unix(incident["closed_at"]), f"it was over: {incident['closed_by']}"


def _senders(incident: dict[str, Any]) -> str:
    evidence = incident["evidence"]
    if not evidence["packets"]:
        return "No packets were kept."
    proven = sum(sender["connected"] for sender in evidence["top_sources"])
    inside = sum(sender["inside"] for sender in evidence["top_sources"])
    countries = [s["country"] for s in evidence["top_sources"] if s["country"]]
    most = sorted(set(countries), key=lambda c: (-countries.count(c), c))[:5]
    told = ", ".join(f"{countries.count(country)} in {country}" for country in most)
    where = f" Of these, as far as their country is known: {told}." if told else ""
    own = f" {inside} of these are addresses of our own network." if inside else ""
    return (
        f"{evidence['packets']:,} packets were kept, with {evidence['sources']:,} different sender "
        f"addresses. {proven} of the {len(evidence['top_sources'])} most frequent ones are "
        f"verified.{where}{own}"
    )


def _evidence(incident: dict[str, Any]) -> str:
    return (
        "A signed archive of the records, of sampled packets and of drafts to the provider and to "
        f"the FBI's IC3 is made with `xdpctl incident export {incident['id']}`. Whether it is "
        "unchanged, `xdpctl incident verify` shows."
    )
