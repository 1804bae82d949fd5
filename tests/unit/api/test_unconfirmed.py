# SPDX-License-Identifier: GPL-2.0-or-later
"""A drop of more than half of this host's connections needs force, however it is made."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem, running
from xdpctl.base.net.tcp_peers import Connections

MANY = [f"198.51.100.{number}" for number in range(1, 11)]
FEW = ["203.0.113.1", "203.0.113.2", "2001:db8::1"]


def _line(number: int, peer: str) -> str:
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    packed = socket.inet_pton(family, peer)
    words = (int.from_bytes(packed[at : at + 4], "little") for at in range(0, len(packed), 4))
    remote = "".join(f"{word:08X}" for word in words)
    return f"{number}: 0100007F:0016 {remote}:C350 01 00000000:00000000"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """A host with ten connections from one network and three from others."""
    table = tmp_path / "tcp"
    lines = [_line(number, peer) for number, peer in enumerate((*MANY, *FEW))]
    table.write_text("\n".join(["header", *lines, ""]))
    with running(tmp_path, capacity=64) as api:
        api.context.connections = Connections((table,))
        yield api


def test_a_new_drop_of_most_connections_needs_force(api: Api) -> None:
    body = {"match": {"source": "198.51.100.0/24"}}
    refused = problem(api.call("POST", "/v1/rules", json=body), 409, "unconfirmed")
    assert "10 of this host's 13 established connections" in refused["detail"]
    assert "--confirm-within" in refused["fix"]
    for harmless in ({"mode": "monitor"}, {"action": "accept"}, {"confirm_within": "60s"}):
        made = api.call("POST", "/v1/rules", json={**body, **harmless, "replace": True})
        assert made.status_code in (200, 201), made.text
    assert api.add("203.0.113.0/24")["created"]


@pytest.mark.parametrize("how", ["patch", "enforce", "action"])
def test_a_rule_that_begins_to_drop_most_connections_needs_force(api: Api, how: str) -> None:
    begun: dict[str, Any] = {"action": "accept"} if how == "action" else {"mode": "monitor"}
    made = api.add("198.51.100.0/24", **begun)
    path = f"/v1/rules/{made['id']}"

    def ask(**more: Any) -> Any:
        if how == "enforce":
            return api.call("POST", f"{path}/enforce", params=more)
        change = {"action": "drop"} if how == "action" else {"mode": "enforce"}
        return api.call("PATCH", path, json={**change, **more})

    problem(ask(), 409, "unconfirmed")
    assert api.call("GET", path).json()["etag"] == made["etag"], "nothing was changed"
    assert ask(force=True).status_code == 200
    assert api.call("PATCH", path, json={"reason": "ticket"}).status_code == 200


def test_an_import_refuses_the_line_that_is_one_too_many(api: Api) -> None:
    listed = "\n".join([*MANY, *FEW])
    done = api.call("POST", "/v1/rules/bulk", content=listed).json()
    assert done["rejected"] == 7, done
    first = done["rejects"][0]
    assert "with the lines before it, this line cuts off 7 of this host's 13" in first["error"]
    assert "xdpctl block" in first["fix"]
    assert (done["added"], first["line"]) == (6, 7)
    again = api.call("POST", "/v1/rules/bulk?mode=monitor", content=listed).json()
    assert again["rejected"] <= 6, "what only counts cuts nobody off"


def test_a_set_is_refused_as_a_whole(api: Api) -> None:
    refused = api.call("PUT", "/v1/sets/abroad", content="198.51.100.0/25\n192.0.9.0/24\n")
    assert "10 of this host's 13" in problem(refused, 409, "unconfirmed")["detail"]
    assert api.call("GET", "/v1/sets").json()["sets"] == []
    api.put("abroad", b"198.51.100.0/25\n", mode="monitor")
    api.put("others", b"203.0.113.0/24\n2001:db8::/32\n")
    api.put("meant", b"198.51.100.0/25\n", force="true")


def test_few_connections_are_no_majority(api: Api, tmp_path: Path) -> None:
    (tmp_path / "few").write_text("\n".join(["header", *(_line(1, peer) for peer in MANY[:7])]))
    api.context.connections = Connections((tmp_path / "few",))
    assert api.add("198.51.100.0/24")["created"]
    api.put("abroad", b"198.51.100.0/25\n")


def test_a_set_that_begins_to_drop_most_connections_needs_force(api: Api) -> None:
    api.put("abroad", b"198.51.100.0/25\n", mode="monitor")
    change = {"mode": "enforce"}
    problem(api.call("PATCH", "/v1/sets/abroad", json=change), 409, "unconfirmed")
    assert api.call("GET", "/v1/sets/abroad").json()["mode"] == "monitor"
    forced = api.call("PATCH", "/v1/sets/abroad", json={**change, "force": True})
    assert forced.json()["mode"] == "enforce"
    spared = {"spare": "established", "mode": "monitor"}
    assert api.call("PATCH", "/v1/sets/abroad", json=spared).status_code == 200
    assert api.call("PATCH", "/v1/sets/abroad", json=change).status_code == 200, "it spares them"


def test_a_set_that_spares_connections_cuts_nobody_off(api: Api) -> None:
    api.put("abroad", b"198.51.100.0/25\n", spare="established")


@pytest.mark.parametrize(
    ("match", "cuts"),
    [
        ("src 198.51.100.0/24 ttl >=1", True),
        ("src 198.51.100.0/24 length 0-65535", True),
        ("src 198.51.100.0/24 tcp", True),
        ("ttl >=1", True),
        ("src 198.51.100.0/24 udp", False),
        ("src 198.51.100.0/24 tcp dst-port 80", False),
        ("src 203.0.113.0/24 tcp", False),
    ],
)
def test_a_match_that_hardly_narrows_counts_as_a_drop_of_its_source(
    api: Api, match: str, cuts: bool
) -> None:
    body = {"match": match, "spare": "none"}
    answer = api.call("POST", "/v1/rules", json=body)
    if cuts:
        assert "of this host's 13" in problem(answer, 409, "unconfirmed")["detail"]
        assert api.call("POST", "/v1/rules", json={"match": match}).status_code == 201, "it spares"
    else:
        assert answer.status_code == 201, answer.text


def test_a_drop_that_no_longer_spares_connections_needs_force(api: Api) -> None:
    body = {"match": "src 198.51.100.0/24 tcp", "spare": "established"}
    path = f"/v1/rules/{api.call('POST', '/v1/rules', json=body).json()['id']}"
    problem(api.call("PATCH", path, json={"spare": "none"}), 409, "unconfirmed")
    forced = api.call("PATCH", path, json={"spare": "none", "force": True})
    assert forced.json()["spare"] == "none"


@pytest.mark.parametrize("what", ["rule", "wide rule", "set"])
def test_an_undo_that_restores_such_a_drop_needs_force(api: Api, what: str) -> None:
    if what == "set":
        api.put("abroad", b"198.51.100.0/25\n", force="true")
        gone = api.call("DELETE", "/v1/sets/abroad")
        number = api.call("GET", "/v1/history").json()["changes"][0]["number"]
    else:
        source = "198.51.100.0/24" if what == "rule" else "32.0.0.0/6"
        made = api.add(source, force=True)
        gone = api.call("DELETE", f"/v1/rules/{made['id']}")
        number = gone.json()["change"]
    assert gone.status_code == 200
    path = f"/v1/history/{number}/undo"
    for dry_run in ("true", "false"):
        problem(api.call("POST", path, params={"dry_run": dry_run}), 409, "unconfirmed")
        forced = {"dry_run": dry_run, "force": "true"}
        assert api.call("POST", path, params=forced).json()["restored"]


WIDE = {"match": {"source": "198.51.0.0/16"}}
INSIDE = "198.51.100.0/24"


def test_a_drop_around_what_is_accepted_cuts_nobody_off(api: Api) -> None:
    api.add(INSIDE, action="accept")
    assert api.call("POST", "/v1/rules", json=WIDE).status_code == 201


@pytest.mark.parametrize("how", ["remove", "monitor", "an end", "in bulk", "replace"])
def test_removing_an_accept_that_keeps_connections_needs_force(api: Api, how: str) -> None:
    """Otherwise the connections that it keeps would meet the drop around it."""
    accept = api.add(INSIDE, action="accept")
    api.add("198.51.0.0/16")
    path = f"/v1/rules/{accept['id']}"

    def ask(**force: Any) -> Any:
        match how:
            case "remove":
                return api.call("DELETE", path, params=force)
            case "monitor":
                return api.call("PATCH", path, json={"mode": "monitor", **force})
            case "an end":
                return api.call("PATCH", path, json={"ttl": "1m", **force})
            case "in bulk":
                which = {"id": accept["id"], "count": 1}
                return api.call("DELETE", "/v1/rules", params={**which, **force})
        body = {"match": {"source": INSIDE}, "mode": "monitor", "replace": True}
        return api.call("POST", "/v1/rules", json={**body, **force})

    told = problem(ask(), 409, "unconfirmed")
    assert "198.51.0.0/16 cuts off 10 of this host's 13" in told["detail"]
    assert "--force" in told["fix"]
    assert api.call("GET", path).json()["etag"] == accept["etag"], "nothing was changed"
    assert ask(force=True).status_code in (200, 201)


def test_an_accept_that_outlives_the_drop_may_get_an_end(api: Api) -> None:
    accept = api.add(INSIDE, action="accept")
    api.add("198.51.0.0/16", ttl="5m")
    path = f"/v1/rules/{accept['id']}"
    assert api.call("PATCH", path, json={"ttl": "10m"}).status_code == 200
    problem(api.call("PATCH", path, json={"ttl": "2m"}), 409, "unconfirmed")


def test_removing_an_accepting_set_that_keeps_connections_needs_force(api: Api) -> None:
    api.put("partners", b"198.51.100.0/24\n", action="accept")
    api.add("198.51.0.0/16")
    problem(api.call("DELETE", "/v1/sets/partners"), 409, "unconfirmed")
    problem(api.call("PATCH", "/v1/sets/partners", json={"mode": "monitor"}), 409, "unconfirmed")
    smaller = api.call("PUT", "/v1/sets/partners", content=b"203.0.113.7/32\n")
    problem(smaller, 409, "unconfirmed")
    assert api.call("DELETE", "/v1/sets/partners", params={"force": "true"}).status_code == 200


def test_a_wide_drop_is_recognised_in_either_table(api: Api) -> None:
    body = {"match": "src 32.0.0.0/6", "spare": "none"}
    for more in ({}, {"priority": 1}):
        problem(api.call("POST", "/v1/rules", json={**body, **more}), 409, "unconfirmed")
    spared = api.call("POST", "/v1/rules", json={"match": "src 32.0.0.0/6", "priority": 1})
    path = f"/v1/rules/{spared.json()['id']}"
    problem(api.call("PATCH", path, json={"priority": 0, "spare": "none"}), 409, "unconfirmed")


def test_a_trial_may_be_confirmed_without_force(api: Api) -> None:
    made = api.add(INSIDE, confirm_within=60)
    assert api.call("POST", f"/v1/rules/{made['id']}/confirm").status_code == 200
