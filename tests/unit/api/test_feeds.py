# SPDX-License-Identifier: GPL-2.0-or-later
"""Sets with a feed, over HTTP: creating, refreshing, and reporting failures."""

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.apiclient import Api, problem, running
from tests.support.setcalls import picture
from tests.support.webserver import Server, answer
from xdpctl.lists.settings import FeedSettings

PATH = "/v1/sets/bad"
FEED = {"feed": {"file": "bad.txt", "refresh": "10m", "format": "plain"}}


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    made = tmp_path / "sets"
    made.mkdir()
    return made


@pytest.fixture
def api(tmp_path: Path, lists: Path) -> Iterator[Api]:
    feeds = FeedSettings(directory=lists, allow_private=True, allow_http=True)
    with running(tmp_path, feeds=feeds) as api:
        yield api


class Lists:
    """Writes feeds.directory/bad.txt, each time a nanosecond newer."""

    def __init__(self, directory: Path) -> None:
        self.path, self.version = directory / "bad.txt", 0

    def say(self, *texts: str) -> None:
        self.version += 1
        self.path.write_text("\n".join(texts))
        os.utime(self.path, ns=(self.version, self.version))


@pytest.fixture
def says(lists: Path) -> Lists:
    made = Lists(lists)
    made.say("45.0.0.1", "45.0.0.2", "nonsense", "45.0.0.3")
    return made


def refresh(api: Api, query: str = "") -> Any:
    return api.call("POST", f"{PATH}/refresh{query}")


def entries(api: Api) -> list[str]:
    return api.call("GET", f"{PATH}/entries").text.split()


def feed(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.call("GET", PATH).json()["feed"]
    return found


def test_a_set_of_a_file_is_read_at_once(api: Api, says: Lists) -> None:
    found = api.put("bad", {**FEED, "mode": "monitor"})
    assert found["entries"] == {"ipv4": 3, "ipv6": 0}
    assert [reject["line"] for reject in found["rejects"]] == [3]
    told = found["feed"]
    assert {key: told[key] for key in ("url", "file", "refresh", "format", "column")} == {
        **{"url": "", "file": "bad.txt", "refresh": 600.0},
        **{"format": "plain", "column": ""},
    }
    assert (told["failures"], told["error"]) == (0, "")
    looked, again = (datetime.fromisoformat(told[at]) for at in ("checked_at", "next_at"))
    assert (again - looked).total_seconds() == 600, "it was looked at just now"
    assert told["good_at"] == told["checked_at"]


def test_a_set_of_a_url_remembers_its_version(api: Api) -> None:
    first, same = answer(b"45.0.0.1\n", 'ETag: "v1"'), b"HTTP/1.1 304 Not Modified\r\n\r\n"
    with closing(Server(first, same)) as server:
        api.put("bad", {"feed": {"url": server.url}})
        found = refresh(api).json()
        assert not found["changed"]
        assert found["feed"]["checked_at"]
    assert 'If-None-Match: "v1"' in server.requests[1]
    assert entries(api) == ["45.0.0.1/32"]


def test_a_refresh_takes_the_new_list(api: Api, says: Lists) -> None:
    api.put("bad", FEED)
    assert not refresh(api).json()["changed"]
    says.say("45.0.0.2", "45.0.0.3", "nonsense", "45.0.0.4")
    found = refresh(api).json()
    assert found["changed"]
    assert [reject["line"] for reject in found["rejects"]] == [3]
    assert (found["report"]["added"], found["report"]["removed"]) == (1, 1)
    assert entries(api) == ["45.0.0.2/32", "45.0.0.3/32", "45.0.0.4/32"]


def test_a_feed_that_fails_creates_no_set(api: Api) -> None:
    before = picture(api.controller)
    told = problem(api.call("PUT", PATH, json=FEED), 502, "feed")
    assert "No such file" in told["detail"]
    with closing(Server(answer(status="404 Not Found"))) as server:
        body = {"feed": {"url": server.url}}
        assert "404" in problem(api.call("PUT", PATH, json=body), 502, "feed")["detail"]
    assert picture(api.controller) == before


def test_a_feed_that_fails_leaves_its_list_and_is_a_warning(api: Api, says: Lists) -> None:
    api.put("bad", FEED)
    says.path.unlink()
    problem(refresh(api), 502, "feed")
    problem(refresh(api), 502, "feed")
    says.say("<html>", "sorry")
    problem(refresh(api), 400, "bad-request")
    assert len(entries(api)) == 3
    told = feed(api)
    assert told["failures"] == 3
    assert "HTML" in told["error"]
    status = api.call("GET", "/v1/status").json()
    assert "the feed of the set bad failed 3 times" in status["warnings"][0]
    last = 'xdpctl_feed_last_success_timestamp_seconds{set="bad"} '
    assert last in api.call("GET", "/metrics").text
    assert status["problems"] == [], "the box is ready all the same"
    assert 'xdpctl_feed_failures{set="bad"} 3.0' in api.call("GET", "/metrics").text
    says.say("45.0.0.1", "45.0.0.2")
    refresh(api)
    assert (feed(api)["failures"], feed(api)["error"]) == (0, "")
    assert api.call("GET", "/v1/status").json()["warnings"] == []


def test_a_list_that_shrank_is_accepted_with_force(api: Api, says: Lists) -> None:
    api.put("bad", FEED)
    says.say("45.0.0.1")
    assert "force" in problem(refresh(api), 409, "conflict")["fix"]
    assert refresh(api, "?force=1").json()["changed"]
    assert entries(api) == ["45.0.0.1/32"]


def test_a_set_without_a_feed_has_nothing_to_refresh(api: Api) -> None:
    api.put("bad", b"45.0.0.1")
    assert problem(refresh(api), 400, "bad-request")["fix"]


def test_putting_a_list_removes_the_feed_and_a_new_feed_begins_anew(api: Api, says: Lists) -> None:
    api.put("bad", FEED)
    says.path.unlink()
    problem(refresh(api), 502, "feed")
    api.put("bad", b"45.0.0.1\n45.0.0.2", 200)
    assert api.call("GET", PATH).json()["feed"] is None
    assert api.call("GET", "/v1/status").json()["warnings"] == []
    says.say("45.0.0.1", "45.0.0.2")
    assert api.put("bad", FEED, 200)["feed"]["failures"] == 0


def test_the_warning_of_a_feed_goes_with_its_set(api: Api, says: Lists) -> None:
    api.put("bad", FEED)
    says.path.unlink()
    problem(refresh(api), 502, "feed")
    api.call("DELETE", PATH)
    assert api.call("GET", "/v1/status").json()["warnings"] == []
    says.say("45.0.0.1")
    assert api.put("bad", FEED)["feed"]["failures"] == 0


def test_a_changed_interval_is_returned_and_stored(api: Api, says: Lists) -> None:
    api.put("bad", FEED)
    answer = api.call("PATCH", PATH, json={"refresh": "1h"})
    assert answer.status_code == 200
    assert answer.json()["feed"]["refresh"] == 3600
    assert feed(api)["file"] == "bad.txt"
    for wrong in ("5s", "soon", -1):
        told = problem(api.call("PATCH", PATH, json={"refresh": wrong}), 400, "bad-request")
        assert "refresh" in told["field"]
    assert not refresh(api).json()["changed"], "the version it had is still known"


def test_a_changed_interval_counts_from_the_last_refresh(api: Api, says: Lists) -> None:
    api.put("bad", {"feed": {"file": "bad.txt", "refresh": "30d"}})
    refresh(api)
    before = feed(api)["next_at"]
    api.call("PATCH", PATH, json={"refresh": "1m"})
    assert feed(api)["next_at"] < before


def test_a_dry_run_does_not_forget_that_the_feed_fails(api: Api, says: Lists) -> None:
    api.put("bad", FEED)
    says.path.unlink()
    problem(refresh(api), 502, "feed")
    api.put("bad", b"45.0.0.1\n45.0.0.2", 200, dry_run=1)
    assert feed(api)["failures"] == 1


def test_a_dry_run_of_a_feed_stores_nothing(api: Api, says: Lists) -> None:
    before = picture(api.controller)
    found = api.put("bad", {**FEED, "dry_run": True}, 200)
    assert found["report"]["added"] == 3
    assert picture(api.controller) == before
    problem(api.call("GET", PATH), 404, "not-found")


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, ".", "../x", "/etc/passwd"])
def test_an_impossible_file_name_is_refused(api: Api, name: str) -> None:
    answer = api.call("PUT", PATH, json={"feed": {"file": name}})
    assert answer.status_code in (400, 502), answer.text
