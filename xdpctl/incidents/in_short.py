# SPDX-License-Identifier: GPL-2.0-or-later
"""An incident in five lines: what, since when, what was done, whom it cost, what is open. Pure.

`incident` is the JSON of GET /v1/incidents/{id}, `facts` what the report says of it.
"""

from collections.abc import Mapping
from typing import Any

from xdpctl.base.durations import show_duration
from xdpctl.base.times import unix
from xdpctl.base.units import si

_NOT_MEASURED = "not measured"


def in_short(incident: dict[str, Any], facts: Mapping[str, str]) -> dict[str, str]:
    """The lines by their names, in this order."""
    return {
        "what": _what(incident, facts),
        "since": _since(incident, facts),
        "done": _done(incident),
        "cost": _cost(incident, facts),
        "open": _open(incident),
    }


def _what(incident: dict[str, Any], facts: Mapping[str, str]) -> str:
    peak = ""
    if any(row[1] for row in incident["evidence"]["rates"]):
        peak = f"; its rules hit at most {facts['peak of drops']}"
    elif incident["peak_pps"] or incident["peak_bps"]:
        peak = f"; at most {facts['peak']}"
    return f"{incident['words']}, reported by {facts['reported by']}{peak}"


def _since(incident: dict[str, Any], facts: Mapping[str, str]) -> str:
    if not incident["closed_at"]:
        return f"{facts['began']}; ongoing"
    lasted = show_duration(max(unix(incident["closed_at"]) - unix(incident["opened_at"]), 0))
    return f"{facts['began']}; it lasted {lasted}"


def _done(incident: dict[str, Any]) -> str:
    made, rules = incident["rules_made"], incident["rules"]
    if not made:
        return "no rule was made for it"
    enforced = [unix(rule["at"]) for rule in rules if rule["mode"] != "monitor"]
    how, hit = "", "they hit"
    if enforced:
        how = f", the first after {max(min(enforced) - unix(incident['opened_at']), 0):.1f} s"
    elif len(rules) == made:
        how, hit = ", all in monitor mode", "they would have hit"
    amount = f"{si(incident['packets'])} packets, {si(incident['bytes'])}B"
    return f"{made:,} rule{'' if made == 1 else 's'} made{how}; {hit} {amount}"


def _cost(incident: dict[str, Any], facts: Mapping[str, str]) -> str:
    """Newcomers, and the people whom its rules hit; what is not measured is said."""
    whom = list(dict.fromkeys(r["collateral"] for r in incident["rules"] if r["collateral"]))
    people = "; ".join(whom[:3]) or _NOT_MEASURED
    return f"newcomers: {facts['newcomers']}; people among what its rules hit: {people}"


def _open(incident: dict[str, Any]) -> str:
    standing = incident["rules_made"] - incident["rules_ended"]
    counting = sum(r["mode"] == "monitor" and not r["ended_at"] for r in incident["rules"])
    force, only = max(standing - counting, 0), min(counting, standing)
    parts = [
        f"{force:,} rule{'' if force == 1 else 's'} in force" if force else "",
        f"{only:,} rule{' only counts' if only == 1 else 's only count'}" if only else "",
        "it is not over" if incident["open"] else "",
    ]
    return ", ".join(filter(None, parts)) or "nothing"
