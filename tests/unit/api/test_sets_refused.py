# SPDX-License-Identifier: GPL-2.0-or-later
"""PUT of a set: every refusal has a status, a field and a fix, and changes nothing."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import TCP, Api, pieces, problem, running
from tests.support.setcalls import picture
from xdpctl.model.protection import CONFIGURED

LIST = b"45.0.0.0/24\n45.0.0.7\n2600::/32\n"
PATH = "/v1/sets/bad"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    protection = {"45.0.9.0/24": CONFIGURED}
    with running(tmp_path, protection=protection, bulk_max_bytes=5000) as api:
        yield api


def refused(
    api: Api, status: int, kind: str, field: str | None, body: Any = LIST, **more: Any
) -> dict[str, Any]:
    """Make a PUT that must be refused and change nothing; return the problem document."""
    before = picture(api.controller)
    how = {"json": body} if isinstance(body, dict) else {"content": body}
    found = problem(api.call("PUT", PATH, **{**how, **more}), status, kind)
    assert picture(api.controller) == before
    assert found.get("field") == field
    assert field is None or found.get("fix") or found.get("errors")
    return found


def test_a_dry_run_is_refused_like_the_real_one(api: Api) -> None:
    refused(api, 400, "bad-request", "widen_ipv4", params={"dry_run": 1, "widen_ipv4": 3})
    api.put("bad", b"45.0.0.1\n45.0.0.2\n45.0.0.3")
    refused(api, 409, "conflict", "entries", b"45.0.0.1", params={"dry_run": 1})


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("acton=accept", "acton"),
        ("action=reject", "action"),
        ("mode=off", "mode"),
        ("format=yaml", "format"),
        ("widen_ipv4=7", "widen_ipv4"),
        ("widen_ipv4=x", "widen_ipv4"),
        ("widen_ipv6=200", "widen_ipv6"),
        ("at_most=-1", "at_most"),
        ("force=perhaps", "force"),
        ("reason=" + "x" * 501, "reason"),
        ("column=nope&format=csv", "column"),
        ("prefixes=45.0.0.1", "prefixes"),
    ],
)
def test_a_wrong_or_unknown_option_is_400_and_named(api: Api, query: str, field: str) -> None:
    refused(api, 400, "bad-request", field, params=query)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"prefixes": ["45.0.0.1"], "acton": "accept"}, "acton"),
        ({"prefixes": ["45.0.0.1"], "action": "reject"}, "action"),
        ({"prefixes": "45.0.0.1"}, "prefixes"),
        ({"prefixes": [7]}, "prefixes.0"),
        ({}, "prefixes"),
        ({"prefixes": ["45.0.0.1"], "feed": {"url": "https://feeds.test/"}}, "prefixes"),
        ({"feed": {"url": "https://feeds.test/", "every": "1h"}}, "feed.every"),
        ({"feed": {}}, "feed"),
        ({"feed": {"url": "https://feeds.test/", "file": "x"}}, "feed"),
        ({"feed": {"url": "http://feeds.test/"}}, "url"),
        ({"feed": {"url": "https://127.0.0.1/"}}, "url"),
        ({"feed": {"file": "../secret"}}, "feed.file"),
        ({"feed": {"file": "x", "refresh": "soon"}}, "feed.refresh"),
        ({"feed": {"file": "x", "refresh": 5}}, "feed.refresh"),
        ({"feed": {"file": "x", "refresh": "31d"}}, "feed.refresh"),
    ],
)
def test_a_wrong_document_is_400_and_names_the_field(
    api: Api, body: dict[str, Any], field: str
) -> None:
    refused(api, 400, "bad-request", field, body)


@pytest.mark.parametrize(
    ("kind", "body", "says"),
    [
        ("application/json", b"{", "JSON"),
        ("application/json", b'["45.0.0.1"]', "the body"),
        ("text/plain", b"<html>nothing here</html>", "HTML"),
        ("text/plain", b"nonsense\nnonsense", "2 of 2 entries were refused"),
        ("text/plain", b"\xff\xfe1\x00", "not UTF-8"),
        ("application/gzip", gzip.compress(LIST)[:-9], "ends early"),
    ],
)
def test_a_body_that_is_not_a_list_is_400(api: Api, kind: str, body: bytes, says: str) -> None:
    before = picture(api.controller)
    answer = api.call("PUT", PATH, content=body, headers={"content-type": kind})
    assert says in problem(answer, 400, "bad-request")["detail"]
    assert picture(api.controller) == before


@pytest.mark.parametrize("kind", ["text/plain", "application/json"])
def test_too_large_a_body_is_413_with_or_without_a_content_length(api: Api, kind: str) -> None:
    body, headers = b"45.0.0.1\n" * 600, {"content-type": kind}
    told = refused(api, 413, "too-large", None, body, headers=headers)
    assert "bulk_max_bytes" in told["fix"]
    assert "nothing was applied" in told["detail"]
    parts = pieces(*(body[at : at + 512] for at in range(0, len(body), 512)))
    refused(api, 413, "too-large", None, parts, headers=headers)


def test_a_body_that_unpacks_to_too_much_is_413_too(api: Api) -> None:
    told = refused(api, 413, "too-large", None, gzip.compress(b"45.0.0.1\n" * 600))
    assert "5000 bytes unpacked" in told["detail"]
    assert "bulk_max_bytes" in told["fix"]
    api.put("bad", gzip.compress(b"45.0.0.1\n" * 500))


def test_an_empty_or_shrunk_list_is_409_without_force(api: Api) -> None:
    refused(api, 409, "conflict", "entries", {"prefixes": []})
    api.put("bad", b"45.0.0.1\n45.0.0.2\n45.0.0.3")
    refused(api, 409, "conflict", "entries", b"45.0.0.1")
    refused(api, 409, "conflict", "entries", {"prefixes": []})
    api.put("bad", b"45.0.0.1", 200, force=1)
    blank = api.call("PUT", "/v1/sets/bad", json={"prefixes": [""], "force": True})
    assert blank.status_code == 400, "an empty text is not an empty list"
    api.put("bad", {"prefixes": [], "force": True}, 200)
    assert api.call("GET", f"{PATH}/entries").text == ""


def test_a_full_table_is_507_and_a_failing_store_or_kernel_503(api: Api) -> None:
    api.controller.state.capacity = {4: 2, 6: 2}
    detail = refused(api, 507, "capacity", None, b"45.0.0.1\n45.0.0.2")["detail"]
    assert "has room for 2 IPv4 entries and has 1; 2 more do not fit" in detail
    api.store.broken = True
    problem(api.call("PUT", PATH, content=b"45.0.0.1"), 503, "store")
    api.store.broken = False
    api.datapath.fail_after = 1
    problem(api.call("PUT", PATH, content=b"45.0.0.1"), 503, "datapath")
    assert api.call("GET", "/v1/sets").json() == {"sets": []}


def test_a_caller_without_permission_is_refused_before_the_body_is_read(api: Api) -> None:
    viewer = api.token("eyes", "viewer")
    detector = api.token("fnm", "operator", origin="fastnetmon")
    big = b"45.0.0.1\n" * 600
    problem(api.call("PUT", PATH, TCP, content=big), 401, "access")
    problem(api.call("PUT", PATH, TCP, viewer, content=big), 403, "role")
    problem(api.call("PUT", PATH, TCP, detector, content=LIST), 403, "role")
    assert api.call("PUT", PATH, TCP, api.token("hands", "operator"), content=LIST).is_success


def test_a_caller_over_tcp_may_not_put_his_own_address_into_a_set(api: Api) -> None:
    token, peer = api.token("hands", "operator"), ("45.0.0.7", 5)
    found = problem(api.call("PUT", PATH, peer, token, content=LIST), 409, "lockout")
    assert "45.0.0.7/32 of the set bad would drop 45.0.0.7" in found["detail"]
    assert found["fix"]
    monitored = api.call("PUT", f"{PATH}?mode=monitor", peer, token, content=LIST)
    assert monitored.status_code == 201


@pytest.mark.parametrize("name", ["No", "a%20b", "..%2Fx", "x" * 200])
def test_only_plain_names_are_accepted(api: Api, name: str) -> None:
    answer = api.call("PUT", f"/v1/sets/{name}", content=LIST)
    assert answer.status_code in (400, 404)
    assert api.call("GET", "/v1/sets").json() == {"sets": []}


@pytest.mark.parametrize("query", ["dry_run=1", "action=accept", "mode=monitor", "column=x"])
def test_an_option_beside_a_document_is_applied_or_refused(api: Api, query: str) -> None:
    """Otherwise a dry run, a monitored set or an accepting set could drop packets."""
    refused(api, 400, "bad-request", query.split("=")[0], {"prefixes": ["45.0.0.1"]}, params=query)
