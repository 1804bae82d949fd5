# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m bench.harm.page NOW.json FOLDER`: docs/results/harm.md, before and now."""

import json
import sys
from pathlib import Path
from typing import Any

from bench.harm.scenarios import SCENARIOS, Scenario

_BEFORE = Path(__file__).with_name("before.json")
_HEAD = """# Harm, measured

What the embedded detector and the control plane do to people, beside attacks and without any, and
what gets around them. Each row is a box of its own, a bridge before a server with 50 sessions and
20 conversations, at the defaults. *Young* boxes were started 30 s before, *old* ones know a
week's normal traffic. Uploads and visits are curl's; tunnels, peers and attacks are made frames.
Measured on Linux %(kernel)s, two cores, veth. *Before* is commit a35fceb, by the same scenarios.
`make harm` writes this page.
"""
_PEOPLE = """
## People who are served

| what | box | before | now |
|---|---|---|---|
%s
"""
_ATTACKS = """
## Attacks that pass

| what | box | before | now |
|---|---|---|---|
%s

Errors that cite a flow pass at 100 a second to each host. Of a flood in known flows 10,000
packets a second pass, or four times what the largest source is used to.
"""


def _row(each: Scenario, before: dict[str, float], now: dict[str, float]) -> str:
    shares = [f"{found[each.name]:.1%}" if each.name in found else "" for found in (before, now)]
    return f"| {each.name} | {'old' if each.old else 'young'} | {shares[0]} | {shares[1]} |"


def page(now: dict[str, Any], before: dict[str, Any]) -> str:
    """The page as Markdown."""
    rows = {
        people: "\n".join(
            _row(each, before["shares"], now["shares"])
            for each in SCENARIOS
            if each.people is people
        )
        for people in (True, False)
    }
    return _HEAD % {"kernel": now["kernel"]} + _PEOPLE % rows[True] + _ATTACKS % rows[False]


if __name__ == "__main__":
    found = json.loads(Path(sys.argv[1]).read_text())
    text = page(found, json.loads(_BEFORE.read_text()))
    (Path(sys.argv[2]) / "harm.md").write_text(text)
