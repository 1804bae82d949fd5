# SPDX-License-Identifier: GPL-2.0-or-later
"""Many rules in one request: formats, invalid lines, dry runs, and size limits."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, pieces, problem, running
from xdpctl.model.protection import CONFIGURED

BULK = "/v1/rules/bulk"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    protection = {"192.0.2.0/24": CONFIGURED}
    with running(tmp_path, capacity=1000, protection=protection, bulk_max_bytes=5000) as api:
        yield api


def send(api: Api, body: Any, kind: str = "text/plain", query: str = "") -> dict[str, Any]:
    headers = {"content-type": kind} if kind else {}
    answer = api.call("POST", f"{BULK}{query}", content=body, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def counts(found: dict[str, Any]) -> tuple[int, int, int]:
    return found["added"], found["extended"], found["rejected"]


def rule(api: Api, name: str) -> dict[str, Any]:
    found: dict[str, Any] = api.call("GET", f"/v1/rules/{name}").json()
    return found


def test_a_plain_list_takes_its_defaults_from_the_query(api: Api) -> None:
    query = "?action=accept&mode=monitor&ttl=1h&reason=feed&tag=a&tag=b"
    found = send(api, b"# a feed\n10.0.0.1\n\n10.0.0.0/8 ; SBL1\n2001:db8::/32", query=query)
    assert counts(found) == (3, 0, 0)
    made = rule(api, "10.0.0.0_8")
    assert (made["action"], made["mode"], made["expires_in"]) == ("accept", "monitor", 3600)
    assert (made["reason"], made["tags"]) == ("feed", ["a", "b"])
    assert made["slot"]


def test_csv_and_ndjson_carry_their_own_fields(api: Api) -> None:
    csv = b"source,action,ttl\n10.0.0.1,accept,90\n10.0.0.2,,\n"
    assert counts(send(api, csv, "text/csv; charset=utf-8")) == (2, 0, 0)
    assert rule(api, "10.0.0.1_32")["expires_in"] == 90
    lines = b'{"match": {"source": "10.0.0.2"}, "reason": "x"}\n{"match": {"source": "10.0.0.3"}}'
    assert counts(send(api, lines, "application/x-ndjson")) == (1, 1, 0)
    assert rule(api, "10.0.0.2_32")["reason"] == "x"


def test_bad_lines_are_reported_by_number_and_the_others_are_added(api: Api) -> None:
    api.add("10.0.0.5", action="accept")
    body = b"10.0.0.1\nnonsense\n10.0.0.5\n192.0.2.1\n10.0.0.2/24\n\xff\n10.0.0.2"
    found = send(api, body)
    assert counts(found) == (2, 0, 5)
    assert [reject["line"] for reject in found["rejects"]] == [2, 3, 4, 5, 6]
    assert all(reject["error"] for reject in found["rejects"])
    assert found["rejects"][0]["text"] == "nonsense"
    assert "10.0.0.0/24" in found["rejects"][3]["fix"]


def test_a_line_may_be_split_between_chunks_anywhere(api: Api) -> None:
    body = pieces(b"10.0.", b"0.1\r", b"\n10.0.0.", b"2\r\n", b"", b"10.0.0.3")
    assert counts(send(api, body)) == (3, 0, 0)


def test_a_dry_run_counts_and_changes_nothing(api: Api) -> None:
    api.add("10.0.0.1")
    found = send(api, b"10.0.0.1\n10.0.0.2\n10.0.0.2\nx", query="?dry_run=1")
    assert found["dry_run"]
    assert counts(found) == (1, 2, 1)
    assert api.datapath.held().keys() == {"10.0.0.1/32", "192.0.2.0/24"}
    records = api.call("GET", "/v1/audit").json()["records"]
    assert records[-1]["action"] == "rule.add"


def test_an_empty_list_is_accepted(api: Api) -> None:
    assert counts(send(api, b"", kind="")) == (0, 0, 0)
    assert counts(send(api, b"# only this\n\n")) == (0, 0, 0)


def test_lines_beyond_the_capacity_are_rejected_one_by_one(tmp_path: Path) -> None:
    with running(tmp_path, capacity=2) as api:
        found = send(api, b"10.0.0.1\n10.0.0.2\n10.0.0.3\n10.0.0.1")
        assert counts(found) == (2, 1, 1)
        assert "full" in found["rejects"][0]["error"]
        assert len(api.datapath.held()) == 2


def test_too_large_a_body_is_413_with_or_without_a_content_length(api: Api) -> None:
    body = b"".join(b"10.0.%d.1\n" % number for number in range(256)) * 3
    whole = problem(api.call("POST", BULK, content=body), 413, "too-large")
    assert "bulk_max_bytes" in whole["fix"]
    assert api.datapath.held().keys() == {"192.0.2.0/24"}
    parts = pieces(*(body[at : at + 512] for at in range(0, len(body), 512)))
    problem(api.call("POST", BULK, content=parts), 413, "too-large")


def test_a_line_without_an_end_is_400(tmp_path: Path) -> None:
    with running(tmp_path, bulk_max_bytes=1 << 20) as api:
        found = problem(api.call("POST", BULK, content=b"1" * 70_000), 400, "bad-request")
        assert "64 KiB" in found["detail"]


def test_another_media_type_is_415_and_says_which_are_read(api: Api) -> None:
    headers = {"content-type": "application/xml"}
    answer = api.call("POST", BULK, content=b"<a/>", headers=headers)
    assert "text/csv" in problem(answer, 415, "bad-request")["detail"]


@pytest.mark.parametrize(
    ("query", "field"), [("?ttl=soon", "ttl"), ("?action=x", "action"), ("?tag=No%20Name", "tags")]
)
def test_a_wrong_default_is_400_before_anything_is_read(api: Api, query: str, field: str) -> None:
    found = problem(api.call("POST", f"{BULK}{query}", content=b"10.0.0.1"), 400, "bad-request")
    assert found["field"] == field
    assert api.datapath.held().keys() == {"192.0.2.0/24"}


def test_an_import_is_one_audit_record(api: Api) -> None:
    send(api, b"10.0.0.1\n10.0.0.2\nx")
    record = api.call("GET", "/v1/audit?last=true&limit=1").json()["records"][0]
    assert record["action"] == "rule.import"
    assert record["detail"] == {"added": 2, "extended": 0, "rejected": 1, "change": 1}


def test_a_failing_store_is_503_and_nothing_is_applied(api: Api) -> None:
    api.store.broken = True
    problem(api.call("POST", BULK, content=b"10.0.0.1\n10.0.0.2"), 503, "store")
    assert api.datapath.held().keys() == {"192.0.2.0/24"}


@pytest.mark.parametrize(
    ("source", "added"),
    [("10.0.0.0/8", 1), ("10.0.0.0/7", 0), ("2001::/16", 1), ("2000::/15", 0)],
)
def test_a_line_may_not_drop_a_large_part_of_the_internet(
    api: Api, source: str, added: int
) -> None:
    if not added:
        assert counts(send(api, source.encode(), query="?mode=monitor&dry_run=true")) == (1, 0, 0)
    assert counts(send(api, source.encode())) == (added, 0, 1 - added)


@pytest.mark.parametrize(
    "body",
    [
        {"match": {"source": "203.0.113.7"}, "confirm_within": "60s", "ttl": "1h"},
        {
            "match": "udp dst-port 53",
            "action": "limit",
            "limit": {"pps": 100, "burst": "1s", "per": "source/24"},
        },
        {
            "match": {"source": "203.0.113.9"},
            "action": "limit",
            "limit": {"bps": 1e6, "burst": 0.5},
            "spare": "none",
        },
        {"match": {"protocol": "tcp"}, "force": True, "mode": "monitor", "priority": 5},
    ],
)
def test_a_line_may_have_every_field_of_a_post(tmp_path: Path, body: dict[str, Any]) -> None:
    made = []
    for number, by_line in enumerate((False, True)):
        (tmp_path / str(number)).mkdir()
        with running(tmp_path / str(number), capacity=100) as api:
            if by_line:
                line = json.dumps(body).encode()
                assert counts(send(api, line, "application/x-ndjson")) == (1, 0, 0)
            else:
                assert api.call("POST", "/v1/rules", json=body).status_code == 201
            (held,) = api.call("GET", "/v1/rules").json()["rules"]
            made.append(held)
    assert made[0] == made[1]
