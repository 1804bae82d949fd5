# SPDX-License-Identifier: GPL-2.0-or-later
"""The API and the dashboard of a node in a fleet, on a fake kernel and a real engine."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.boxes import QUOTAS
from tests.fleet.engines import Etcd
from tests.support.apiclient import Api, running
from tests.support.fakes import FakeClock, FakeDatapath, controller
from xdpctl.config.settings import Settings
from xdpctl.datapath.loader.module_signature import sign
from xdpctl.fleet.settings import FleetSettings
from xdpctl.lab.waits import until

_NUMBERS = count(1)
BODY = {"match": {"source": "203.0.113.7"}, "reason": "SYN flood"}


class Apis:
    """Nodes of one fleet, each with its application."""

    def __init__(self, etcd: Etcd, folder: Path) -> None:
        self._etcd, self._folder, self._ends = etcd, folder, ExitStack()
        self._prefix = f"api{next(_NUMBERS)}/"

    def node(self, name: str) -> Api:
        folder = self._folder / name
        (folder / "control").mkdir(parents=True)
        datapath, clock = FakeDatapath(256), FakeClock(unix=time.time(), boot=name)
        control = self._ends.enter_context(controller(folder, datapath, clock, None, QUOTAS))
        fleet = FleetSettings(name, (self._etcd.endpoint,), certificates=folder,
                              prefix=self._prefix, port=0)  # fmt: skip
        api = Api(control, datapath, clock, Settings(state_dir=folder, fleet=fleet, series=False))
        assert api.context.fleet
        api.context.fleet.start()
        self._ends.callback(api.context.fleet.stop)
        return api

    def close(self) -> None:
        self._ends.close()


@pytest.fixture
def apis(shared_etcd: Etcd, tmp_path: Path) -> Iterator[Apis]:
    made = Apis(shared_etcd, tmp_path)
    yield made
    made.close()


def pair(apis: Apis) -> tuple[Api, Api]:
    one, two = apis.node("edge1"), apis.node("edge2")

    def live() -> int:
        return sum(node["live"] for node in one.call("GET", "/v1/fleet").json()["nodes"])

    until(lambda: live() == 2)
    until(lambda: two.context.fleet and len(two.context.fleet.reporter.nodes.by_name) == 2)
    return one, two


def sources(api: Api) -> dict[str, Any]:
    return {r["id"]: r["action"] for r in api.call("GET", "/v1/rules").json()["rules"]}


def test_an_answer_says_on_how_many_nodes_it_is_in_force(apis: Apis) -> None:
    one, two = pair(apis)
    made = one.call("POST", "/v1/rules", json=BODY)
    assert made.status_code == 201
    assert made.json()["fleet"]["text"] == "2 of 2"
    assert made.json()["fleet"]["in_engine"]
    assert sources(two) == {"203.0.113.7_32": "drop"}
    changed = two.call("PATCH", "/v1/rules/203.0.113.7_32", json={"mode": "monitor"})
    assert changed.json()["fleet"]["text"] == "2 of 2"
    gone = one.call("DELETE", "/v1/rules/203.0.113.7_32?wait=majority")
    assert gone.json()["fleet"]["in_engine"]
    until(lambda: not sources(two))


def test_a_local_rule_stays_on_its_node_and_a_wrong_scope_is_refused(apis: Apis) -> None:
    one, two = pair(apis)
    assert "fleet" not in one.call("POST", "/v1/rules?scope=local", json=BODY).json()
    assert one.call("POST", "/v1/rules?scope=everywhere", json=BODY).status_code == 400
    assert one.call("POST", "/v1/rules?wait=ages", json=BODY).status_code == 400
    other = {"match": {"source": "203.0.113.9"}}
    elsewhere = one.call("POST", "/v1/rules?scope=node:edge2", json=other)
    assert elsewhere.status_code == 201
    until(lambda: "203.0.113.9_32" in sources(two))
    assert sources(one) == {"203.0.113.7_32": "drop"}


def test_a_set_and_an_import_may_be_local_too(apis: Apis) -> None:
    one, two = pair(apis)
    plain = {"Content-Type": "text/plain"}
    made = one.call("PUT", "/v1/sets/mine?scope=local", content=b"198.51.100.0/24\n", headers=plain)
    assert made.status_code == 201
    assert "fleet" not in made.json()
    put = one.call("PUT", "/v1/sets/ours", content=b"203.0.113.0/24\n", headers=plain)
    assert put.json()["fleet"]["text"] == "2 of 2"
    one.call("POST", "/v1/rules/bulk?scope=local", content=b"192.0.2.7\n", headers=plain)
    done = one.call("POST", "/v1/rules/bulk", content=b"192.0.2.9\n", headers=plain)
    assert done.json()["fleet"]["in_engine"]
    until(lambda: sources(two) == {"192.0.2.9_32": "drop"})
    assert [each["name"] for each in two.call("GET", "/v1/sets").json()["sets"]] == ["ours"]
    gone = one.call("DELETE", "/v1/rules?all=true&count=2")
    assert gone.json()["rules"] == 2
    until(lambda: not sources(two))


def test_without_a_fleet_its_routes_are_refused(tmp_path: Path) -> None:
    with running(tmp_path) as api:
        nothing_to_ask(api)


def nothing_to_ask(api: Api) -> None:
    assert api.call("GET", "/v1/fleet").status_code == 404
    assert "fleet" not in api.call("POST", "/v1/rules", json=BODY).json()
    refused = api.call("POST", "/v1/rules?scope=node:edge1", json=BODY)
    assert refused.json()["detail"] == "this box is in no fleet"
    assert api.call("POST", "/v1/rules?scope=local", json=BODY).status_code == 200
    assert api.call("GET", "/fleet").status_code == 404


def test_automatic_bypass_and_policy_apply_to_all_nodes(apis: Apis) -> None:
    one, two = pair(apis)
    changed = one.call("PUT", "/v1/automatic", json={"mode": "off"}).json()
    assert changed["fleet"]["text"] == "2 of 2"
    assert two.call("GET", "/v1/automatic").json()["mode"] == "off"
    two.call("PUT", "/v1/automatic?scope=local", json={"mode": "on"})
    assert one.call("GET", "/v1/automatic").json()["mode"] == "off"
    assert one.call("POST", "/v1/bypass", json={"on": True, "fleet": True}).json()["on"]
    until(lambda: two.datapath.bypass())
    two.call("POST", "/v1/bypass", json={"on": False})
    assert one.datapath.bypass()
    one.call("POST", "/v1/bypass", json={"on": False, "fleet": True})
    text = '[automatic]\nttl = "7m"\n'
    done = one.call("PUT", "/v1/fleet/policy", json={"toml": text})
    assert done.json()["toml"] == text
    until(lambda: two.call("GET", "/v1/fleet/policy").json()["toml"] == text)
    assert two.context.settings.automatic.ttl == 420
    wrong = one.call("PUT", "/v1/fleet/policy", json={"toml": "[automatic]\nttl = 0\n"})
    assert wrong.status_code == 400
    assert (
        one.call("PUT", "/v1/fleet/policy", json={"toml": "[listen]\nport = 1\n"}).status_code
        == 400
    )
    one.call("PUT", "/v1/fleet/policy", json={"toml": ""})
    until(lambda: two.context.settings.automatic.ttl == 900)


def test_a_signed_module_reaches_all_nodes_and_is_removed_from_all(
    apis: Apis, tmp_path: Path
) -> None:
    one, two = pair(apis)
    key, body = tmp_path / "key", b"MODULE decide(struct view *view) { return PASS; }\n"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key), check=True)
    text = sign(body, "game", key).decode()
    files = [api.context.settings.fleet_modules / "game.c" for api in (one, two)]
    for path, wrong, field in (
        ("game", {"text": body.decode()}, "text"),
        ("Game.c", {"text": text}, "name"),
        ("game", {"text": "x" * 49_153}, "text"),
        ("game?scope=local", {"text": text}, "scope"),
    ):
        refused = one.call("PUT", f"/v1/fleet/modules/{path}", json=wrong)
        assert refused.status_code == 400, refused.text
        assert field in refused.text
    assert one.call("DELETE", "/v1/fleet/modules/game").status_code == 404
    done = one.call("PUT", "/v1/fleet/modules/game", json={"text": text}).json()
    assert done["fleet"]["text"] == "2 of 2"
    until(files[1].exists)
    assert [file.read_text() for file in files] == [text, text]
    three = apis.node("edge3")
    until((three.context.settings.fleet_modules / "game.c").exists)
    two.call("DELETE", "/v1/fleet/modules/game")
    until(lambda: not files[0].exists() and not files[1].exists())


def test_a_change_made_on_one_node_can_be_undone_from_another(apis: Apis) -> None:
    one, two = pair(apis)
    number = one.call("POST", "/v1/rules", json=BODY).json()["change"]
    until(lambda: two.call("GET", "/v1/fleet/history").json()["changes"])
    (change,) = two.call("GET", "/v1/fleet/history").json()["changes"]
    assert (change["node"], change["number"], change["action"]) == ("edge1", number, "rule.add")
    undone = two.call("POST", f"/v1/fleet/history/edge1/{number}/undo")
    assert undone.json()["restored"] == 1
    until(lambda: not sources(one))
    where = "/v1/fleet/history"
    until(lambda: len(two.call("GET", where).json()["changes"]) == 2)
    newest = two.call("GET", where, params={"limit": 1}).json()
    last = two.call("GET", where, params={"limit": 1, "cursor": newest["next"]}).json()
    assert (last["changes"], last["next"]) == ([change], None)
    assert two.call("POST", "/v1/fleet/history/edge1/99/undo").status_code == 404
    assert two.call("POST", "/v1/fleet/history/nobody/1/undo").status_code == 404


def test_a_token_of_one_node_is_valid_on_all(apis: Apis) -> None:
    one, two = pair(apis)
    made = one.call("POST", "/v1/tokens", json={"name": "ann", "role": "viewer"}).json()
    until(lambda: two.controller.state.tokens)
    answer = two.call("GET", "/v1/status", ("192.0.2.9", 5), made["secret"])
    assert answer.status_code == 200
    one.call("DELETE", "/v1/tokens/ann")
    until(lambda: not two.controller.state.tokens)


def test_an_incident_seen_by_several_nodes_is_shown_as_one(apis: Apis) -> None:
    one, two = pair(apis)
    for api in (one, two):
        body = {"victim": "198.51.100.7", "attack": "udp_flood"}
        assert api.call("POST", "/v1/incidents", json=body).status_code == 201

    def parts() -> int:
        stories = one.call("GET", "/v1/fleet/incidents").json()["stories"]
        return sum(len(story["parts"]) for story in stories)

    until(lambda: parts() == 2)
    (story,) = two.call("GET", "/v1/fleet/incidents").json()["stories"]
    assert story["subject"] == "198.51.100.7/32"
    assert [part["node"] for part in story["parts"]] == ["edge1", "edge2"]


def test_a_node_is_shown_in_full_and_its_rules_go_when_it_leaves(apis: Apis) -> None:
    one, two = pair(apis)
    one.call("POST", "/v1/rules", json=BODY)
    node = one.call("GET", "/v1/fleet/nodes/edge2").json()
    assert (node["live"], node["address"], node["refused"]) == (True, "", {})
    assert one.call("GET", "/v1/fleet/nodes/nobody").status_code == 404
    assert two.call("POST", "/v1/fleet/leave").json()["intents"] == 1
    one.call("DELETE", "/v1/rules/203.0.113.7_32?wait=majority")
    time.sleep(0.3)
    assert sources(two) == {"203.0.113.7_32": "drop"}
    assert not two.controller.state.shared


def test_the_pages_show_the_fleet(apis: Apis) -> None:
    one, _ = pair(apis)
    one.call("POST", "/v1/rules", json=BODY)
    page = one.call("GET", "/fleet")
    assert page.status_code == 200
    assert "edge2" in page.text
    assert "No node has had one" in page.text
    assert 'href="/fleet"' in one.call("GET", "/rules").text
    other = one.call("GET", "/rules?node=edge2")
    assert "edge2 does not let other nodes ask it" in other.text
    assert 'http-equiv="refresh"' in other.text
    assert "/actions/automatic" not in other.text


def test_a_viewer_may_not_change_the_fleet(apis: Apis) -> None:
    one, _ = pair(apis)
    secret = one.call("POST", "/v1/tokens", json={"name": "v", "role": "viewer"}).json()["secret"]
    there = ("192.0.2.9", 5)
    assert one.call("GET", "/v1/fleet", there, secret).status_code == 200
    for method, path in (("POST", "/v1/fleet/share"), ("POST", "/v1/fleet/leave")):
        assert one.call(method, path, there, secret).status_code == 403
    answer = one.call("PUT", "/v1/fleet/policy", there, secret, json={"toml": ""})
    assert answer.status_code == 403
