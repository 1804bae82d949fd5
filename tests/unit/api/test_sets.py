# SPDX-License-Identifier: GPL-2.0-or-later
"""Existing sets over HTTP: reading, changing and removing them, ETags, and hit entries."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import TCP, Api, problem, running
from tests.support.setcalls import HIGH, LOW, hosts, picture
from xdpctl.abi.constants import Reason
from xdpctl.abi.structs import Hits, Sample
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control import set_samples
from xdpctl.model.protection import CONFIGURED

LIST = b"45.0.0.0/24\n45.0.0.7\n45.0.9.9\n2600::/32\n"
PATH = "/v1/sets/bad"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path, protection={"45.0.9.0/24": CONFIGURED}) as api:
        yield api


def get(api: Api, path: str) -> Any:
    answer = api.call("GET", path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_set_is_read_with_its_size_and_hits(api: Api) -> None:
    made = api.put("bad", LIST, reason="why")
    api.datapath.hit_values[HIGH] = Hits(23, 1481).pack()
    answer = api.call("GET", PATH)
    found = answer.json()
    assert answer.headers["etag"] == f'"{made["etag"]}"'
    assert (found["packets"], found["bytes"]) == (23, 1481)
    assert found["entries"] == {"ipv4": 3, "ipv6": 1}
    assert found["applied"] == {"ipv4": 2, "ipv6": 1}, "one is protected"
    assert found["report"]["protected"] == 1
    assert found["feed"] is None
    assert found["created_at"] == found["changed_at"] == "2023-11-14T22:13:20Z"
    assert found == {key: made[key] for key in found} | {"packets": 23, "bytes": 1481}


def test_all_sets_are_listed_by_name(api: Api) -> None:
    assert get(api, "/v1/sets") == {"sets": []}
    for name in ("b", "a.1", "a-0"):
        api.put(name, LIST)
    assert [held["name"] for held in get(api, "/v1/sets")["sets"]] == ["a-0", "a.1", "b"]
    assert get(api, "/v1/sets")["sets"][2] == get(api, "/v1/sets/b")


def test_entries_are_streamed_in_pages_and_an_empty_set_sends_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xdpctl_api.routes.sets._PAGE", 7)
    api.put("bad", "\n".join(hosts(30)).encode())
    expected = "".join(f"{host}/32\n" for host in hosts(30))
    assert api.call("GET", f"{PATH}/entries").text == expected
    api.put("none", {"prefixes": [], "force": True})
    assert api.call("GET", "/v1/sets/none/entries").text == ""


def test_a_set_that_does_not_exist_is_404(api: Api) -> None:
    for method, path in (
        *(("GET", PATH), ("DELETE", PATH), ("GET", f"{PATH}/entries")),
        *(("POST", f"{PATH}/refresh"), ("GET", f"{PATH}/top")),
    ):
        assert "no set 'bad'" in problem(api.call(method, path), 404, "not-found")["detail"]
    for body in ({"reason": "x"}, {"refresh": "1h"}):
        problem(api.call("PATCH", PATH, json=body), 404, "not-found")
    problem(api.call("POST", PATH), 405, "http")


def test_the_mode_of_all_entries_changes_at_once(api: Api) -> None:
    api.put("bad", LIST)
    source = parse_prefix("45.0.0.7").address
    answer = api.call("PATCH", PATH, json={"mode": "monitor"})
    assert answer.status_code == 200
    assert answer.json()["mode"] == "monitor"
    assert api.datapath.decide(source, api.clock.ns) is Reason.NO_RULE
    api.call("PATCH", PATH, json={"mode": "enforce", "reason": "sure"})
    assert api.datapath.decide(source, api.clock.ns) is Reason.DROPPED
    found = get(api, PATH)
    assert (found["mode"], found["reason"]) == ("enforce", "sure")
    kept = api.call("PATCH", PATH, json={}).json()
    assert (kept["mode"], kept["reason"]) == ("enforce", "sure")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"mode": "off"}, "mode"),
        ({"action": "accept"}, "action"),
        ({"prefixes": []}, "prefixes"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": "a\nb"}, "reason"),
        ({"refresh": "1h"}, "refresh"),
    ],
)
def test_a_field_that_may_not_change_is_400_and_named(
    api: Api, body: dict[str, Any], field: str
) -> None:
    api.put("bad", LIST)
    before = picture(api.controller)
    found = problem(api.call("PATCH", PATH, json=body), 400, "bad-request")
    assert found["field"] == field
    assert picture(api.controller) == before


def test_the_body_of_a_patch_is_limited_too(api: Api) -> None:
    api.put("bad", LIST)
    body = b'{"reason": "' + b"x" * 70_000 + b'"}'
    headers = {"content-type": "application/json"}
    problem(api.call("PATCH", PATH, content=body, headers=headers), 413, "too-large")


def test_a_removed_set_is_answered_with_its_last_counters(api: Api) -> None:
    api.put("bad", LIST)
    api.datapath.hit_values[HIGH] = Hits(23, 1481).pack()
    answer = api.call("DELETE", PATH).json()
    assert (answer["name"], answer["packets"], answer["bytes"]) == ("bad", 23, 1481)
    assert answer["entries"] == {"ipv4": 3, "ipv6": 1}
    assert get(api, "/v1/sets") == {"sets": []}
    assert [str(prefix) for prefix in api.datapath.listed()] == ["45.0.9.0/24"]
    record = get(api, "/v1/audit?last=true&limit=1")["records"][0]
    assert (record["action"], record["subject"]) == ("set.remove", "bad")
    assert record["detail"]["packets"] == 23


def test_if_match_refuses_a_change_of_a_newer_version(api: Api) -> None:
    old = api.put("bad", LIST)["etag"]
    api.clock.advance(1)
    match = {"If-Match": f'"{old}"'}
    new = api.call("PUT", PATH, content=LIST, headers=match)
    assert new.status_code == 200
    assert new.headers["etag"] != f'"{old}"'
    for method, more in (
        ("PUT", {"content": LIST}),
        ("PATCH", {"json": {"reason": "x"}}),
        ("DELETE", {}),
    ):
        before = picture(api.controller)
        problem(api.call(method, PATH, headers=match, **more), 412, "stale")
        assert picture(api.controller) == before
    problem(api.call("PUT", "/v1/sets/new", content=LIST, headers=match), 412, "stale")
    weak = {"If-Match": f"W/{new.headers['etag']}"}
    assert api.call("PATCH", PATH, json={"reason": "x"}, headers=weak).status_code == 200
    assert api.call("DELETE", PATH, headers={"If-Match": "*"}).status_code == 200


def test_a_viewer_may_not_change_sets(api: Api) -> None:
    api.put("bad", LIST)
    eyes = api.token("eyes", "viewer")
    for path in ("/v1/sets", PATH, f"{PATH}/entries", f"{PATH}/top?seconds=0.01"):
        assert api.call("GET", path, TCP, eyes).status_code == 200
        problem(api.call("GET", path, TCP), 401, "access")
    for method, path, more in (
        ("PATCH", PATH, {"json": {"mode": "monitor"}}),
        ("DELETE", PATH, {}),
        ("POST", f"{PATH}/refresh", {}),
    ):
        problem(api.call(method, path, TCP, eyes, **more), 403, "role")


def test_a_caller_over_tcp_may_not_remove_the_set_that_accepts_him(api: Api) -> None:
    token, peer = api.token("hands", "operator"), ("45.0.0.7", 5)
    api.put("ours", b"45.0.0.7", action="accept")
    api.put("bad", LIST)
    path = "/v1/sets/ours"
    problem(api.call("DELETE", path, peer, token), 409, "lockout")
    problem(api.call("PATCH", path, peer, token, json={"mode": "monitor"}), 409, "lockout")
    problem(
        api.call("PUT", f"{path}?action=accept", peer, token, content=b"45.0.0.8"), 409, "lockout"
    )
    api.clock.advance(3601)
    assert api.call("DELETE", path, TCP, token).status_code == 200


def test_top_lists_the_entries_that_are_hit_and_their_sources(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put("bad", LIST)
    api.datapath.taken = [Sample(b"\1" * 16, HIGH, 4)]  # left over from an earlier watch
    other = Sample(b"\2" * 16, LOW, 4)
    seen: list[tuple[int, int]] = []

    def sleep(_: float) -> None:
        control = api.datapath.control
        if not seen:
            for text in ("45.0.0.7", "45.0.0.9", "45.0.0.9", "2600::1", "46.1.1.1"):
                source = parse_prefix(text)
                padded = source.address.ljust(16, b"\0")
                api.datapath.taken.append(Sample(padded, HIGH, source.family))
            api.datapath.taken.append(other)
        seen.append((int(control["sampled"]), int(control["mask"])))

    monkeypatch.setattr("xdpctl.control.set_samples.time.sleep", sleep)
    found = get(api, f"{PATH}/top?seconds=0.05&every=8")
    assert set(seen) == {(HIGH, 7)}
    assert int(api.datapath.control["sampled"]) == 0, "and it is off again"
    assert (found["samples"], found["every"]) == (5, 8)
    assert found["entries"][0] == {"prefix": "45.0.0.0/24", "packets": 16, "share": 0.4}
    assert {row["prefix"] for row in found["entries"][1:]} == {
        *("45.0.0.7/32", "2600::/32"),
        "46.1.1.1/32",  # whose entry went meanwhile
    }
    assert found["sources"][0] == {"source": "45.0.0.9/32", "packets": 16, "share": 0.4}
    limited = get(api, f"{PATH}/top?seconds=0.01&limit=1")
    assert (limited["samples"], limited["entries"]) == (0, [])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("every=3", "every"),
        ("every=0", "every"),
        ("every=131072", "every"),
        ("seconds=0", "seconds"),
        ("seconds=61", "seconds"),
        ("limit=0", "limit"),
    ],
)
def test_top_names_an_invalid_parameter(api: Api, query: str, field: str) -> None:
    api.put("bad", LIST)
    found = problem(api.call("GET", f"{PATH}/top?{query}"), 400, "bad-request")
    assert found["field"] == field


def test_only_one_watches_at_a_time(api: Api) -> None:
    api.put("bad", LIST)
    with set_samples._watching:
        found = problem(api.call("GET", f"{PATH}/top?seconds=0.01"), 409, "conflict")
    assert "again" in found["fix"]
    assert get(api, f"{PATH}/top?seconds=0.01")["samples"] == 0
