# SPDX-License-Identifier: GPL-2.0-or-later
"""Twenty routes at a provider's router, and whether what is said of their effect is right.

`python -m tests.lab.upstream.judged frr|bird|gobgp` prints a line of JSON for each.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

from tests.lab.upstream.sender import VICTIM
from tests.lab.upstream.stage import Stage, staged
from tests.lab.upstream.twelve import MADE
from xdpctl.lab.waits import until
from xdpctl.upstream.effects import LOOKS

ATTACKS = ("one source", "few sources", "many resolvers", "random UDP", "fragments")
_RATE = 20_000_000
_DECIDED = ("helped", "did nothing", "cannot be told: the link was not full")


class Truth(NamedTuple):
    """What really happens, and what may be said of it."""

    enforced: bool
    times: float  # of the link's rate that is sent
    noise: bool
    says: tuple[str, ...]


TRUTHS = {
    "enforced": Truth(True, 3.0, False, ("helped by",)),
    "ignored": Truth(False, 3.0, False, ("did nothing",)),
    "idle": Truth(True, 0.0, False, ("cannot be told: the link was not full",)),
    "noise": Truth(False, 0.95, True, ("did nothing", "cannot be told")),
}


class Judged(NamedTuple):
    """A case, what was said of it, and whether that is right."""

    truth: str
    attack: str
    said: str
    right: bool


def judge(truth: str, attack: str, router: str) -> Judged:
    """Play one case."""
    is_so = TRUTHS[truth]
    with staged(MADE[router], _RATE) as stage, ExitStack() as stack:
        stage.line.enforcing = is_so.enforced
        time.sleep(6)  # people are at work
        if is_so.times:
            name = f"{attack}, noise" if is_so.noise else attack
            stack.enter_context(stage.attack(name, is_so.times * _RATE, 120))
            until(stage.proposals)
            time.sleep(5)
            for one in stage.proposals():
                _post(stage, f"/{one['id']}", {"confirm": one["victim"]})
        else:
            _post(stage, "", {"match": f"udp dst {VICTIM}", "peer": "isp2", "bps": 2_000_000})
        last = time.monotonic() + LOOKS[-1] + 3
        until(lambda: time.monotonic() > last or _decided(stage))
        said = _effects(stage)
    right = bool(said) and all(text.startswith(is_so.says) for text in said)
    return Judged(truth, attack, "; ".join(said), right)


def _decided(stage: Stage) -> bool:
    """Whether all routes are judged; a later look may decide what an earlier one could not."""
    said = _effects(stage)
    return bool(said) and all(text.startswith(_DECIDED) for text in said)


def _post(stage: Stage, where: str, body: dict[str, Any]) -> None:
    stage.box.client.call("POST", f"/v1/upstream/announcements{where}", json=body)


def _effects(stage: Stage) -> list[str]:
    listed = stage.upstream()["announcements"]
    return [str(one["effect"]) for one in listed if one["state"] != "proposed"]


def played(router: str) -> Iterator[Judged]:
    """All cases with one router."""
    return (judge(truth, attack, router) for truth in TRUTHS for attack in ATTACKS)


if __name__ == "__main__":
    for found in played(sys.argv[1]):
        print(json.dumps(found._asdict()), flush=True)
