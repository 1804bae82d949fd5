# SPDX-License-Identifier: GPL-2.0-or-later
"""HEAD, If-None-Match, Allow, and bodies without a content type."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.apiclient import Api, problem, running


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running(tmp_path) as api:
        yield api


def test_head_answers_as_get_does_without_content(api: Api) -> None:
    api.add("203.0.113.7")
    for path in ("/v1/rules", "/v1/rules/203.0.113.7_32", "/v1/rules/203.0.113.8_32", "/healthz"):
        whole, head = api.call("GET", path), api.call("HEAD", path)
        assert head.status_code == whole.status_code
        assert head.headers["content-type"] == whole.headers["content-type"]
        assert head.content == b""


def test_head_of_a_stream_ends(api: Api) -> None:
    head = api.call("HEAD", "/v1/stream")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', "*"])
def test_what_the_caller_has_is_304(api: Api, known: str) -> None:
    api.call("PUT", "/v1/sets/bad", json={"prefixes": ["203.0.113.0/24"]})
    path = "/v1/sets/bad/entries"
    etag = api.call("GET", path).headers["etag"]
    answer = api.call("GET", path, headers={"if-none-match": known.format(etag)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == etag
    assert "content-type" not in answer.headers


def test_what_has_changed_is_sent_again(api: Api) -> None:
    path = "/v1/sets/bad/entries"
    api.call("PUT", "/v1/sets/bad", json={"prefixes": ["203.0.113.0/24"]})
    etag = api.call("GET", path).headers["etag"]
    api.clock.advance(1)
    api.call("PUT", "/v1/sets/bad", json={"prefixes": ["198.51.100.0/24"]})
    answer = api.call("GET", path, headers={"if-none-match": etag})
    assert (answer.status_code, answer.text) == (200, "198.51.100.0/24\n")
    missing = api.call("GET", "/v1/sets/none/entries", headers={"if-none-match": "*"})
    assert missing.status_code == 404


def test_what_has_counters_is_always_sent(api: Api) -> None:
    """The ETag of a rule or set is for If-Match: it stays the same while its counters change."""
    api.add("203.0.113.7")
    api.call("PUT", "/v1/sets/bad", json={"prefixes": ["198.51.100.0/24"]})
    for path in ("/v1/rules/203.0.113.7_32", "/v1/sets/bad"):
        first = api.call("GET", path)
        again = api.call("GET", path, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/rules", "DELETE, GET, HEAD, POST"),
        ("POST", "/v1/rules/203.0.113.7_32", "DELETE, GET, HEAD, PATCH"),
        ("DELETE", "/v1/status", "GET, HEAD"),
        ("GET", "/v1/automatic/undo", "POST"),
        ("PUT", "/openapi.json", "GET, HEAD"),
        ("POST", "/static/now.js", "GET, HEAD"),
        ("POST", "/rules", "GET, HEAD"),
    ],
)
def test_a_method_that_a_path_does_not_have_is_answered_with_those_it_has(
    api: Api, method: str, path: str, allow: str
) -> None:
    answer = api.call(method, path)
    problem(answer, 405, "http")
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "no content type"),
        ({"content-type": "text/plain"}, "text/plain"),
        ({"content-type": "text/json"}, "text/json"),
    ],
)
def test_a_body_that_is_not_declared_as_json_is_refused_by_its_content_type(
    api: Api, headers: dict[str, str], says: str
) -> None:
    body = b'{"match": {"source": "203.0.113.7"}}'
    told = problem(api.call("POST", "/v1/rules", content=body, headers=headers), 400, "bad-request")
    assert says in told["detail"]
    assert (told["field"], told["fix"]) == ("Content-Type", "send Content-Type: application/json")
