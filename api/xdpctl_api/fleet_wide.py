# SPDX-License-Identifier: GPL-2.0-or-later
"""Merges the answers of all nodes: adds figures, joins lists, prefixes incidents' ids. Pure.

A merged answer has the same fields as a single node's answer.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from xdpctl.base.times import unix

_MICROSECOND = 1e-6  # to which times in answers are exact
Answers = Mapping[str, Any]  # by the node's name
Merge = Callable[[Answers], Any]


def merger(method: str, path: str) -> Merge | None:
    """The function that merges the nodes' answers to a call; None if they cannot be merged."""
    if method != "GET":
        return None
    return next((merge for pattern, merge in _MERGERS if pattern.fullmatch(path)), None)


def summed(values: list[Any]) -> Any:
    """Merge values of the same structure: add numbers, join lists, else take the first value."""
    present = [value for value in values if value is not None]
    if not present:
        return None
    first = present[0]
    if isinstance(first, bool):
        return any(present)
    if isinstance(first, int | float):
        return sum(present)
    if isinstance(first, list):
        return [item for value in present for item in value]
    if isinstance(first, dict):
        names = dict.fromkeys(name for value in present for name in value)
        return {name: summed([value.get(name) for value in present]) for name in names}
    return first


def _counters(answers: Answers) -> Any:
    merged = {"total": summed([answer["total"] for answer in answers.values()]), "interfaces": {}}
    for node, answer in answers.items():
        for name, counted in answer["interfaces"].items():
            merged["interfaces"][f"{node} {name}"] = counted
    return merged


def _rules(answers: Answers) -> Any:
    """The rules of all nodes: each rule once, with the sum of its hits on all nodes."""
    rules: dict[str, dict[str, Any]] = {}
    for answer in answers.values():
        for rule in answer["rules"]:
            merged = rules.get(rule["id"])
            if merged is None:
                rules[rule["id"]] = dict(rule)
            else:
                merged["packets"] += rule["packets"]
                merged["bytes"] += rule["bytes"]
                if rule.get("rate") is not None:
                    merged["rate"] = (merged.get("rate") or 0.0) + rule["rate"]
    nexts = [answer["next"] for answer in answers.values() if answer["next"]]
    return {"rules": list(rules.values()), "next": min(nexts, default=None)}


def _incidents(answers: Answers) -> Any:
    incidents = [
        {**incident, "id": f"{node}/{incident['id']}"}
        for node, answer in answers.items()
        for incident in answer["incidents"]
    ]
    incidents.sort(key=lambda incident: unix(incident["opened_at"]), reverse=True)
    nexts = [answer["next"] for answer in answers.values() if answer["next"]]
    if not nexts:
        return {"incidents": incidents, "next": None}
    # a node whose page ends later in time has older ones: they come with the next page of all
    last = max(nexts, key=_opened)
    shown = [each for each in incidents if unix(each["opened_at"]) + _MICROSECOND >= _opened(last)]
    return {"incidents": shown, "next": last}


def _opened(cursor: str) -> float:
    """When the last incident of the page before was opened: Unix time."""
    return float(cursor.partition(";")[0])


def _top(answers: Answers) -> Any:
    """The traffic of all nodes, with added rates and shares of the sum, the most frequent first."""
    parts = list(answers.values())
    whole = sum(part["packets"] for part in parts)
    merged = summed(parts) | {"seconds": max(part["seconds"] for part in parts)}
    merged["dimensions"] = [
        _dimension([part["dimensions"][number] for part in parts], parts, whole)
        for number in range(min(len(part["dimensions"]) for part in parts))
    ]
    if "at" in parts[0]:
        merged["at"] = parts[0]["at"]
    return merged


def _dimension(dimensions: list[Any], parts: list[Any], whole: float) -> Any:
    """One dimension of all nodes, merged; `parts` are the nodes' answers, with their packets."""
    rows: dict[str, Any] = {}
    for dimension, part in zip(dimensions, parts, strict=True):
        for row in dimension["rows"]:
            merged = rows.setdefault(
                row["value"], {**row, "packets": 0.0, "bits": 0.0, "error": 0.0, "match": None}
            )
            merged["packets"] += row["packets"]
            merged["bits"] += row["bits"]
            merged["match"] = merged["match"] or row["match"]
            merged["error"] += (row["error"] * part["packets"]) ** 2  # the samples are independent
    for row in rows.values():
        row["share"] = row["packets"] / whole if whole else 0.0
        row["error"] = row["error"] ** 0.5 / whole if whole else 0.0
    without = sum(d["without"] * p["packets"] for d, p in zip(dimensions, parts, strict=True))
    most = max(len(dimension["rows"]) for dimension in dimensions)
    ranked = sorted(rows.values(), key=lambda row: -row["packets"])[:most]
    return {"by": dimensions[0]["by"], "without": without / whole if whole else 0.0, "rows": ranked}


def _series(answers: Answers) -> Any:
    """Series of all nodes, added row by row; the last rows of all nodes have the same time."""
    parts = list(answers.values())
    last = max(parts, key=lambda part: part["since"])
    rows = min(len(next(iter(p["figures"].values()))["averages"]) for p in parts if p["figures"])
    figures = {
        name: {
            kind: [
                _added([part["figures"][name][kind][-rows:][row] for part in parts])
                for row in range(rows)
            ]
            for kind in ("averages", "maxima")
        }
        for name in last["figures"]
    }
    return {**last, "figures": figures}


def _added(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


_WORST = ("hurting", "unclear", "holding", "quiet")


def _condition(answers: Answers) -> Any:
    """The worst state of all nodes, with the reasons of the nodes in that state."""
    state = min((answer["state"] for answer in answers.values()), key=_WORST.index)
    worst = {node: answer for node, answer in answers.items() if answer["state"] == state}
    first = next(iter(worst.values()))
    reasons = [
        f"{node}: {reason}" for node, answer in worst.items() for reason in answer["reasons"]
    ]
    matches = [match for answer in answers.values() for match in answer["matches"]]
    ranked = sorted(matches, key=lambda match: -match["packets"])[:5]
    found = {"reasons": reasons, "waiting": _waiting(answers), "matches": ranked}
    return {**first, "state": state, **found}


def _waiting(answers: Answers) -> list[Any]:
    """What waits for a decision on any node: the rates of a rule are added."""
    waiting: dict[str, Any] = {}
    for rule in (rule for answer in answers.values() for rule in answer["waiting"]):
        rate = waiting[rule["id"]]["rate"] if rule["id"] in waiting else 0.0
        waiting[rule["id"]] = {**rule, "rate": rate + rule["rate"]}
    return sorted(waiting.values(), key=lambda rule: -rule["rate"])


_MERGERS: tuple[tuple[re.Pattern[str], Merge], ...] = (
    (re.compile("/v1/counters"), _counters),
    (re.compile("/v1/rules"), _rules),
    (re.compile("/v1/incidents"), _incidents),
    (re.compile("/v1/top(/minute)?"), _top),
    (re.compile("/v1/series"), _series),
    (re.compile("/v1/condition"), _condition),
    (re.compile("/v1/status"), lambda answers: summed(list(answers.values()))),
)
