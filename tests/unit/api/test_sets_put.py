# SPDX-License-Identifier: GPL-2.0-or-later
"""PUT of a set: every form of a list, and the response."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem, running
from tests.support.setcalls import picture, remove
from xdpctl.abi.constants import SlotNumber, Spare
from xdpctl.abi.structs import Slot
from xdpctl.lists import prepare as preparing
from xdpctl.lists import replacement
from xdpctl.model.protection import CONFIGURED

LIST = b"# a feed\n45.0.0.0/24 ; SBL1\n45.0.0.7\n\n2600::/32\n"
TEXTS = ["45.0.0.0/24", "45.0.0.7/32", "2600::/32"]
PATH = "/v1/sets/bad"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    protection = {"45.0.9.0/24": CONFIGURED}
    with running(tmp_path, protection=protection, bulk_max_bytes=5000) as api:
        yield api


def entries(api: Api, name: str = "bad") -> list[str]:
    answer = api.call("GET", f"/v1/sets/{name}/entries")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    return answer.text.split()


def test_a_set_may_spare_connections_or_known_flows(api: Api) -> None:
    made = api.put("bad", LIST)
    assert made["spare"] == "none"
    number = made["slot"]
    kept = Spare.ESTABLISHED
    for query, spare in (
        ({"spare": "established"}, kept),
        ({}, kept),
        ({"spare": "known"}, Spare.KNOWN),
        ({"spare": "none"}, Spare.NONE),
    ):
        api.put("bad", LIST, 200, **query)
        assert Slot.unpack(api.datapath.source.words[number].tobytes()).spare is spare
    changed = api.call("PATCH", PATH, json={"spare": "established"}).json()
    assert changed["spare"] == "established"


def test_a_new_set_is_201_with_its_location_and_in_the_kernel(api: Api) -> None:
    answer = api.call("PUT", f"{PATH}?reason=feed&mode=monitor", content=LIST)
    found = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == PATH
    assert answer.headers["etag"] == f'"{found["etag"]}"'
    assert (found["created"], found["changed"], found["dry_run"]) == (True, True, False)
    assert (found["name"], found["action"], found["mode"]) == ("bad", "drop", "monitor")
    assert (found["reason"], found["origin"], found["slot"]) == (
        "feed",
        "operator",
        SlotNumber.FIRST - 1,
    )
    assert found["entries"] == found["applied"] == {"ipv4": 2, "ipv6": 1}
    assert found["report"] == {
        **{"lines": 3, "rejected": 0, "duplicates": 0, "too_wide": 0, "private": 0},
        **{"protected": 0, "left_out_addresses": 0, "protected_addresses": 0},
        **{"entries": 3, "added": 3, "removed": 0},
    }
    assert found["rejects"] == []
    assert sorted(map(str, api.datapath.listed())) == sorted([*TEXTS, "45.0.9.0/24"])


def test_another_list_is_200(api: Api) -> None:
    api.put("bad", LIST)
    found = api.put("bad", b"45.0.0.0/24\n45.0.0.8", status=200)
    assert not found["created"]
    assert (found["report"]["added"], found["report"]["removed"]) == (1, 2)
    assert entries(api) == ["45.0.0.0/24", "45.0.0.8/32"]


@pytest.mark.parametrize(
    ("kind", "query", "body"),
    [
        ("text/plain", "", LIST),
        ("text/plain; charset=utf-8", "?format=plain", LIST),
        ("", "", LIST),
        ("application/gzip", "", gzip.compress(LIST)),
        ("text/plain", "", gzip.compress(LIST)),
        ("text/csv", "", b"id,ip\n1,45.0.0.0/24\n2,45.0.0.7\n3,2600::/32\n"),
        ("text/csv", "?column=to", b"ip,to\n1.1.1.1,45.0.0.0/24\n1.1.1.1,45.0.0.7\n,2600::/32\n"),
        ("application/x-ndjson", "", b'"45.0.0.0/24"\n{"ip":"45.0.0.7"}\n{"cidr":"2600::/32"}'),
        ("application/json", "?format=json", b'["45.0.0.0/24","45.0.0.7","2600::/32"]'),
        (
            "application/json; charset=utf-8",
            "?format=json&column=net",
            b'{"data":[{"net":"45.0.0.0/24"},{"net":"45.0.0.7"},{"net":"2600::/32"}]}',
        ),
        ("application/json", "", b'{"prefixes":["45.0.0.0/24","45.0.0.7","2600::/32"]}'),
        ("application/octet-stream", "", LIST),
    ],
)
def test_a_list_is_read_in_every_form(api: Api, kind: str, query: str, body: bytes) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = api.call("PUT", f"{PATH}{query}", content=body, headers=headers)
    assert answer.status_code == 201, answer.text
    assert entries(api) == TEXTS


def test_the_output_of_entries_can_be_put_again(api: Api) -> None:
    api.put("bad", LIST)
    text = api.call("GET", f"{PATH}/entries").text
    found = api.put("bad", text.encode(), status=200)
    assert (found["report"]["added"], found["report"]["removed"]) == (0, 0)


def test_options_may_be_in_the_query_or_in_the_document(api: Api) -> None:
    query: dict[str, Any] = {
        "action": "accept",
        "mode": "monitor",
        "aggregate": "true",
        "allow_private": "1",
    }
    found = api.put("a", b"45.0.0.0/25\n45.0.0.128/25\n10.0.0.0/8", reason="x", **query)
    body: dict[str, Any] = {
        "prefixes": ["45.1.0.0/25", "45.1.0.128/25"],
        "action": "accept",
        "mode": "monitor",
    }
    body |= {"aggregate": True, "allow_private": True, "reason": "x"}
    other = api.put("b", body)
    for each in (found, other):
        assert (each["action"], each["mode"], each["reason"]) == ("accept", "monitor", "x")
        assert each["options"] == {
            **{"allow_private": True, "aggregate": True, "at_most": 0},
            **{"widen_ipv4": 0, "widen_ipv6": 0},
        }
        assert each["report"]["saved"] == 1


def test_bad_lines_are_reported_by_number_and_the_others_are_added(api: Api) -> None:
    found = api.put("bad", b"45.0.0.1\nnonsense\n45.0.0.2\n45.0.0.2/24\n45.0.0.3")
    assert found["report"]["rejected"] == 2
    assert [reject["line"] for reject in found["rejects"]] == [2, 4]
    assert found["rejects"][1]["fix"]
    found = api.put("bad", {"prefixes": ["45.0.0.1", "x", "45.0.0.2"]}, status=200)
    assert [reject["line"] for reject in found["rejects"]] == [2]


@pytest.mark.parametrize("dry", [{"dry_run": "1"}, {"dry_run": "true", "mode": "monitor"}])
@pytest.mark.parametrize("standing", [False, True])
def test_a_dry_run_reports_and_changes_nothing(api: Api, standing: bool, dry: Any) -> None:
    if standing:
        api.put("bad", LIST)
    before = picture(api.controller)
    found = api.put("bad", b"45.0.0.7\n45.0.0.8\n45.0.9.9", 200, **dry)
    assert found["dry_run"]
    assert found["created"] != standing
    assert found["report"]["added"] == (2 if standing else 3)
    assert found["report"]["protected"] == 1
    assert picture(api.controller) == before


def test_fields_that_are_not_given_stay_as_they_are(api: Api) -> None:
    api.put("ours", b"44.0.0.0/7", action="accept", mode="monitor", reason="why")
    for body in (b"44.0.0.0/7\n10.0.0.0/8", {"prefixes": ["44.0.0.0/7", "10.0.0.0/8"]}):
        found = api.put("ours", body, 200)
        assert (found["action"], found["mode"], found["reason"]) == ("accept", "monitor", "why")
        assert found["report"]["entries"] == 2, "screened as what it is"
    found = api.put("ours", LIST, 200, mode="enforce", reason="", force=1)
    assert (found["action"], found["mode"], found["reason"]) == ("accept", "enforce", "")
    found = api.put("new", LIST)
    assert (found["action"], found["mode"], found["reason"]) == ("drop", "enforce", "")


def test_a_put_says_whether_it_changed_anything(api: Api) -> None:
    assert api.put("bad", LIST, reason="why")["changed"]
    api.clock.advance(1)
    assert not api.put("bad", LIST, 200)["changed"]
    assert not api.put("bad", LIST, 200, reason="why", mode="enforce")["changed"]
    assert api.put("bad", LIST, 200, mode="monitor", dry_run=1)["changed"]
    assert api.put("bad", LIST, 200, mode="monitor")["changed"]
    assert api.put("bad", LIST, 200, aggregate=1)["changed"]
    assert api.put("bad", LIST + b"46.0.0.9", 200, aggregate=1)["changed"]


def test_a_put_is_stale_if_the_action_changed_while_its_list_was_read(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put("ours", b"44.0.0.0/7", action="accept")
    prepared = preparing.prepare

    def prepare(*arguments: Any) -> Any:
        found = prepared(*arguments)
        remove(api.controller, "ours")
        return found

    monkeypatch.setattr(replacement, "prepare", prepare)
    problem(api.call("PUT", "/v1/sets/ours", content=b"44.0.0.0/7"), 412, "stale")
    assert api.controller.state.sets == {}
