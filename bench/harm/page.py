# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m bench.harm.page NOW.json PEOPLE.json FOLDER`: docs/results/harm.md."""

import json
import sys
from pathlib import Path
from typing import Any

from bench.harm.beside import CALM_SECONDS, FLOOD
from bench.harm.scenarios import SCENARIOS, Scenario

_BEFORE = Path(__file__).with_name("before.json")
_HEAD = """# Harm, measured

What the embedded detector and the control plane do to people, beside attacks and without any, and
what gets around them. Each row is a box of its own, a bridge before a server with 50 sessions and
20 conversations, at the defaults. *Young* boxes were started 30 s before, *old* ones know a
week's normal traffic. Uploads and visits are curl's, and pupils are sockets of the kernel;
tunnels, peers and attacks are made frames.
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


_PROGRAMS = """
## Real programs

%(programs)s programs ask all at once, with 50 sessions and 20 conversations beside them: servers
inside that clients outside ask, a tunnel between two gateways, and programs inside that ask others.
The box is a bridge before the server, a router, or the server itself. What is served is what the
program says: its exit status, or its own count. At each age of the box they run for %(calm)s s
without an attack, then beside %(floods)s made floods of 25,000 packets a second and 4 s, one after
another, of packets that do not repeat. iperf3 says hello by one packet of UDP and never again, so
where a limit takes that one the whole attempt is lost. *Worst* is the
flood beside which most was lost. Each cell: lost without an attack; lost beside floods. The last
row says how much of the floods was dropped, counted from the first packet of each. A flood that the
server answers is not held: here the *DNS water torture*, which nsd answers.

| what | %(ages)s |
|---|%(bars)s
%(rows)s
"""


def _share(lost: float, attempts: float) -> str:
    return f"{lost / attempts:.2%} of {attempts:,.0f}" if attempts else "none asked"


def _cell(played: dict[str, dict[str, list[float]]], program: str) -> str:
    """A program's losses at an age: without an attack, beside all floods, beside the worst one."""
    without, *beside = (losses.get(program, [0.0, 0.0]) for losses in played.values())
    shares = {
        name: losses[program][0] / losses[program][1]
        for name, losses in played.items()
        if name and losses.get(program, [0, 0])[1]
    }
    worst = max(shares, key=lambda name: shares[name], default="")
    lost, attempts = (sum(losses[n] for losses in beside) for n in (0, 1))
    text = f"{_share(*without)}; {_share(lost, attempts)}"
    return text + (f" (worst: {worst}, {shares[worst]:.0%})" if lost else "")


def _kept(floods: list[list[float]]) -> str:
    """The share of the floods that was kept out, and how many were kept out nearly whole."""
    out, sent = (sum(flood[n] for flood in floods) for n in (0, 1))
    nearly = sum(flood[0] >= 0.95 * flood[1] for flood in floods)
    return f"{out / max(sent, 1.0):.1%}; at least 95 % of {nearly} floods of {len(floods)}"


def programs(people: dict[str, Any]) -> str:
    """The table of the real programs: one column for each age."""
    ages = people["ages"]
    some = next(iter(ages.values()))
    rows = (
        f"| {program} | {' | '.join(_cell(played, program) for played in ages.values())} |"
        for program in sorted(some[""])
    )
    kept_out = [
        _kept([f[FLOOD] for f in played.values() if FLOOD in f]) for played in ages.values()
    ]
    return _PROGRAMS % {
        "programs": len(some[""]),
        "calm": f"{CALM_SECONDS:.0f}",
        "floods": len(some) - 1,
        "ages": " | ".join(ages),
        "bars": "---|" * len(ages),
        "rows": "\n".join((*rows, f"| *the floods: kept out* | {' | '.join(kept_out)} |")),
    }


def _row(scenario: Scenario, before: dict[str, float], now: dict[str, float]) -> str:
    shares = [
        f"{shares_of[scenario.name]:.1%}" if scenario.name in shares_of else ""
        for shares_of in (before, now)
    ]
    return f"| {scenario.name} | {'old' if scenario.old else 'young'} | {shares[0]} | {shares[1]} |"


def page(now: dict[str, Any], before: dict[str, Any], people: dict[str, Any]) -> str:
    """The page as Markdown."""
    rows = {
        of_people: "\n".join(
            _row(scenario, before["shares"], now["shares"])
            for scenario in SCENARIOS
            if scenario.people is of_people
        )
        for of_people in (True, False)
    }
    head = _HEAD % {"kernel": now["kernel"]}
    return head + _PEOPLE % rows[True] + _ATTACKS % rows[False] + programs(people)


if __name__ == "__main__":
    results, programs_results = (json.loads(Path(path).read_text()) for path in sys.argv[1:3])
    text = page(results, json.loads(_BEFORE.read_text()), programs_results)
    (Path(sys.argv[3]) / "harm.md").write_text(text)
