# SPDX-License-Identifier: GPL-2.0-or-later
"""Twelve attacks at a provider's router: what it is asked, and what is said of the effect.

`python -m tests.lab.upstream.twelve frr|bird|gobgp [NAME …]` prints a line of JSON for each.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from tests.lab.upstream.line import Router
from tests.lab.upstream.routers import Bird, Frr, Gobgp
from tests.lab.upstream.sender import ATTACKS
from tests.lab.upstream.stage import Stage, staged

MADE: dict[str, Callable[..., Router]] = {
    "frr": Frr,
    "bird": Bird,
    "gobgp": partial(Gobgp, asn=64496),
}
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Case:
    """An attack, on a link of `rate` bits a second; `times` as much is sent."""

    attack: str
    rate: int = 20_000_000
    times: float = 3.0
    peer: str = ""
    second: bool = False
    outgoing: bool = False


_FAST = ("few sources", "carpet", "pulses 30 s/60 s")
CASES = {name: Case(name, 50_000_000 if name in _FAST else 20_000_000) for name in ATTACKS}
CASES |= {
    "outgoing traffic": Case("", outgoing=True),
    "two uplinks": Case("many resolvers", second=True),
    "no FlowSpec, carpet": Case("carpet", peer="flowspec = false\nblackhole_from = 24"),
}


@dataclass
class Result:
    """What came of it; shares from 0 to 1, seconds."""

    case: str
    router: str
    proposed_after: float | None = None
    asked: list[str] | None = None
    attack_taken: float | None = None
    people_taken: float | None = None
    in_table_after: float | None = None
    lost_before: float | None = None
    lost_after: float | None = None
    effect: str = ""
    said: str = ""

    @property
    def right(self) -> bool:
        """Whether the request takes 90 % of the attack and at most 1 % of people."""
        taken, people = self.attack_taken, self.people_taken
        return taken is not None and people is not None and taken >= 0.9 and people <= 0.01


def _until(what: Callable[[], Any], seconds: float = _PATIENCE) -> float | None:
    """The seconds until a condition holds; None if it does not in time."""
    began = time.monotonic()
    while not what():
        if time.monotonic() > began + seconds:
            return None
        time.sleep(0.005)
    return time.monotonic() - began


def play(name: str, router: str) -> Result:
    """Play one case."""
    case = CASES[name]
    result = Result(name, router)
    more = ", bits_out = 20_000_000" if case.outgoing else ""
    with staged(MADE[router], case.rate, case.peer, case.second, more=more) as stage:
        time.sleep(6)  # the detector and people are at work
        if case.outgoing:
            _outgoing(stage, result)
            return result
        with stage.attack(case.attack, case.times * case.rate, 120):
            _attacked(stage, case, result)
    return result


def _outgoing(stage: Stage, result: Result) -> None:
    """A host inside fills the way out: nothing may be asked, and it is said."""
    words = ("iperf3", "-c", "198.51.100.7", "-p", "5202", "-R", "-u", "-b", "40M", "-t", "20")
    server = stage.server.popen("iperf3", "-s", "-p", "5202")
    time.sleep(0.5)
    client = stage.people.popen(*words)

    def warned() -> str:
        warnings = stage.box.client.call("GET", "/v1/status")["warnings"]
        return next((text for text in warnings if "what goes out fills" in text), "")

    try:
        _until(warned)
        result.said = warned()
        time.sleep(5)
        result.asked = [one["what"] for one in stage.proposals()]
    finally:
        for process in (client, server):
            process.terminate()
            process.wait()


def _attacked(stage: Stage, case: Case, result: Result) -> None:
    began = time.monotonic()
    _until(lambda: stage.share() >= 0.9)
    full = time.monotonic()
    wanted = "rtbh" if "flowspec = false" in case.peer else "flowspec"

    def found() -> list[dict[str, Any]]:
        return [one for one in stage.proposals() if one["kind"] == wanted]

    after = _until(found)
    if after is None:
        result.said = str(stage.upstream()["attacks"])[:500]
        return
    result.proposed_after = round(time.monotonic() - full, 2)
    time.sleep(1.5)
    result.lost_before = stage.lost()
    proposals = found()
    result.asked = [f"{one['peer']}: {one['what']}" for one in proposals]
    result.said = proposals[0]["cost"]
    approved = time.monotonic()
    for one in proposals:
        where = f"/v1/upstream/announcements/{one['id']}"
        stage.box.client.call("POST", where, json={"confirm": one["victim"]})
    shown = _until(lambda: len(stage.line.shown) >= len(proposals))
    result.in_table_after = None if shown is None else round(time.monotonic() - approved, 3)
    routes = list(stage.line.shown)
    attack, taken = stage.taps["attack"].bytes_taken(routes, began)
    people, hit = stage.taps["people"].bytes_taken(routes, began)
    result.attack_taken = round(taken / attack, 4) if attack else None
    result.people_taken = round(hit / people, 4) if people else None
    time.sleep(9)
    result.lost_after = stage.lost()
    states = stage.upstream()["announcements"]
    result.effect = "; ".join(one["effect"] for one in states if one["effect"])


def main() -> None:
    """The command line."""
    router, *names = sys.argv[1:]
    for name in names or CASES:
        result = play(name, router)
        print(json.dumps(asdict(result) | {"right": result.right}), flush=True)


def played(router: str) -> Iterator[Result]:
    """All cases with one router."""
    return (play(name, router) for name in CASES)


if __name__ == "__main__":
    main()
