# SPDX-License-Identifier: GPL-2.0-or-later
"""A person's rule that one node of a fleet tries first, beside real clients."""

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.detection.live import Scene
from bench.harm.trials import MATCH, Newcomers, bridge
from xdpctl.lab.waits import until
from xdpctl.model.match import text

RULE = {"match": text.parse(MATCH).as_json(), "action": "drop", "spare": "trial"}


@contextmanager
def fleet_of(scene: Scene) -> Iterator[None]:
    """The box of a scene as the only node of a fleet."""
    box = scene.box
    config = box.directory / "fleet.toml"
    command = (sys.executable, "-m", "xdpctl", "fleet", "init", "edge1", "--address", "127.0.0.1")
    folder = ("--config", str(config), "--state-dir", str(box.directory / "state"), "--json")
    etcd = int(json.loads(box.host.sh(*command, *folder))["etcd"])
    try:
        box.kill()
        box.settings += "\n" + config.read_text()
        box.start()
        until(lambda: not box.client.call("GET", "/v1/fleet")["isolated"])
        yield
    finally:
        os.kill(etcd, signal.SIGKILL)


def rollout(scene: Scene, number: int) -> Any:
    return scene.box.client.call("GET", f"/v1/fleet/rollouts/{number}")


def test_a_rule_that_hits_people_is_taken_back_from_the_one_node_that_tries_it() -> None:
    with bridge() as scene, fleet_of(scene):
        call = scene.box.client.call
        people = Newcomers(scene, 60)
        assert people.come(2.0) >= 0.98
        made = call("POST", "/v1/rules", json=RULE, params={"scope": "canary:3600"})
        coming = threading.Thread(target=people.come, args=(25.0,))
        coming.start()
        until(lambda: rollout(scene, made["change"])["outcome"])
        ended = rollout(scene, made["change"])
        assert ended["outcome"] == "taken back"
        assert ended["why"].startswith("it hits people")
        assert not [rule for rule in scene.box.client.pages() if rule["id"] == made["id"]]
        coming.join()
        assert people.come(4.0) >= 0.98
        assert scene.sessions.all_answer()
