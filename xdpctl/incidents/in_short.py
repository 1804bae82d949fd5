# SPDX-License-Identifier: GPL-2.0-or-later
"""An incident in five lines: what, since when, what was done, whom it cost, what is open. Pure.

`incident` is the JSON of GET /v1/incidents/{id}, `facts` what the report says of it.
"""

from collections.abc import Mapping
from typing import Any

from xdpctl.base.durations import show_duration
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
    attacks = ", ".join(incident["attacks"]) or "an attack of an unknown kind"
    peaks = [facts[name] for name in ("peak of drops", "peak") if incident["evidence"]["rates"]]
    peak = f"; dropped at most {peaks[0]}" if peaks else ""
    return f"{attacks} on {incident['subject']}, reported by {facts['reported by']}{peak}"


def _since(incident: dict[str, Any], facts: Mapping[str, str]) -> str:
    until = incident["closed_at"] or incident["updated_at"]
    lasted = show_duration(max(until - incident["opened_at"], 0))
    if incident["closed_at"]:
        return f"{facts['began']}; it lasted {lasted}"
    return f"{facts['began']}; ongoing, last heard of after {lasted}"


def _done(incident: dict[str, Any]) -> str:
    made = incident["rules_made"]
    if not made:
        return "nothing: no rule was made"
    enforced = [rule["at"] for rule in incident["rules"] if rule["mode"] != "monitor"]
    first = ""
    if enforced:
        after = max(min(enforced) - incident["opened_at"], 0)
        first = f", the first after {after:.1f} s"
    hit = f"they hit {si(incident['packets'])} packets, {si(incident['bytes'])}B"
    return f"{made:,} rule{'' if made == 1 else 's'} made{first}; {hit}"


def _cost(incident: dict[str, Any], facts: Mapping[str, str]) -> str:
    """Newcomers, and the people whom its rules hit; what is not measured is said."""
    whom = list(dict.fromkeys(r["collateral"] for r in incident["rules"] if r["collateral"]))
    lines = [f"newcomers: {facts['newcomers']}"]
    lines.append(f"people among what was dropped: {'; '.join(whom[:3]) or _NOT_MEASURED}")
    return "; ".join(lines)


def _open(incident: dict[str, Any]) -> str:
    force = incident["rules_made"] - incident["rules_ended"]
    rules = f"{force:,} rule{'' if force == 1 else 's'} in force" if force else ""
    waits = "nobody has closed it" if incident["open"] else ""
    return ", ".join(part for part in (rules, waits) if part) or "nothing"
