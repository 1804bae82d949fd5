# SPDX-License-Identifier: GPL-2.0-or-later
"""Feeds from a misbehaving server and from a file: the last good list stays in force."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.lab.questions import put_set, refusal, set_in_kernel, set_in_store, sets_in_kernel, some
from xdpctl.lab.box import Box
from xdpctl.lab.namespaces import Host
from xdpctl.lab.waits import eventually

FIRST, SECOND, THIRD = (some(np.random.default_rng(n), 3_000, 300) for n in (1, 2, 3))
HTML = b"<!doctype html><html><head><title>Sign in</title></head><body>Please</body></html>"


class Publisher(ThreadingHTTPServer):
    """Serves `/list` as configured; `asked` has the known version of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body, self.etag, self.status = b"", "", 200
        self.headers: dict[str, str] = {}
        self.cut = 0  # bytes of the body that are announced and never sent
        self.held = threading.Event()  # answers wait for it
        self.held.set()
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/list"

    def publish(self, body: list[str] | bytes, etag: str = "", **headers: str) -> None:
        self.body = body if isinstance(body, bytes) else "\n".join(body).encode()
        self.etag, self.headers, self.status, self.cut = etag, headers, 200, 0


class _Handler(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        server = self.server
        known = self.headers.get("If-None-Match", "")
        server.asked.append(known)
        server.held.wait()
        if server.etag and known == server.etag:
            self.send_response(304)
            self.end_headers()
            return
        self.send_response(server.status)
        headers = {"Content-Length": str(len(server.body)), "ETag": server.etag, **server.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(server.body[: len(server.body) - server.cut])

    def log_message(self, format: str, *args: object) -> None:
        """Do not log."""


@pytest.fixture
def publisher(host: Host) -> Iterator[Publisher]:
    made = host.call(Publisher)
    yield made
    made.held.set()
    made.shutdown()
    made.server_close()


@pytest.fixture
def fed(box: Box, publisher: Publisher) -> Box:
    """A running box with the set `feed`, whose list is FIRST."""
    lists = box.directory / "lists"
    lists.mkdir()
    feeds = f'directory = "{lists}"\nallow_private = true\nallow_http = true\n'
    box.settings = f"[feeds]\n{feeds}"
    box.start()
    publisher.publish(FIRST, '"1"')
    body = {"feed": {"url": publisher.url, "refresh": "1d"}}
    made = box.client.call("PUT", "/v1/sets/feed", json=body)
    assert (made["created"], made["feed"]["error"]) == (True, "")
    return box


def refresh(box: Box, name: str = "feed", **query: object) -> dict[str, Any]:
    answer: dict[str, Any] = box.client.call("POST", f"/v1/sets/{name}/refresh", params=query)
    return answer


def warnings(box: Box) -> list[str]:
    found: list[str] = box.client.call("GET", "/v1/status")["warnings"]
    return found


def feed_of(box: Box, name: str = "feed") -> dict[str, Any]:
    found: dict[str, Any] = box.client.call("GET", f"/v1/sets/{name}")["feed"]
    return found


def test_a_refresh_fetches_the_list_only_if_it_changed(fed: Box, publisher: Publisher) -> None:
    assert refresh(fed)["changed"] is False
    publisher.publish(SECOND, '"2"')
    answer = refresh(fed)
    assert (answer["changed"], answer["report"]["entries"]) == (True, len(SECOND))
    assert set_in_kernel(fed, "feed") == set(SECOND) == set_in_store(fed.client, "feed")
    fed.kill()
    fed.start()
    assert refresh(fed)["changed"] is False
    publisher.publish(gzip.compress("\n".join(THIRD).encode()))
    assert refresh(fed)["changed"] is True
    assert set_in_kernel(fed, "feed") == set(THIRD)
    assert publisher.asked == ["", '"1"', '"1"', '"2"', '"2"']
    assert warnings(fed) == []


def spoil(publisher: Publisher, how: str) -> None:
    packed = gzip.compress("\n".join(SECOND).encode())
    publisher.publish(SECOND, '"2"')
    match how:
        case "HTML":
            publisher.publish(HTML)
        case "empty":
            publisher.publish(b"")
        case "comments only":
            publisher.publish(b"# nothing today\n")
        case "truncated gzip":
            publisher.publish(packed[:-100])
        case "truncated encoding":
            publisher.publish(packed[:-100], **{"Content-Encoding": "gzip"})
        case "cut short":
            publisher.cut = 100
        case "error":
            publisher.status = 500
        case "shrunk":
            publisher.publish(FIRST[: len(FIRST) // 10])
        case "elsewhere":
            publisher.publish(b"", Location="file:///etc/passwd")
            publisher.status = 302


BAD = (
    *("HTML", "empty", "comments only", "truncated gzip", "truncated encoding"),
    *("cut short", "error", "shrunk", "elsewhere"),
)


def test_the_last_good_list_stays_whatever_the_server_sends(fed: Box, publisher: Publisher) -> None:
    said = set()
    for failures, how in enumerate(BAD, 1):
        spoil(publisher, how)
        problem = refusal(fed.client, "POST", "/v1/sets/feed/refresh")
        assert problem["status"] in (400, 409, 502), how
        feed = feed_of(fed)
        assert (feed["failures"], feed["error"]) == (failures, problem["detail"]), how
        assert "\n" not in feed["error"]
        (warning,) = warnings(fed)
        assert feed["error"] in warning
        assert "feed" in warning
        assert set_in_kernel(fed, "feed") == set(FIRST), how
        said.add(feed["error"])
    assert len(said) > 6, said
    assert fed.ready(), "a feed that fails is no reason to be taken out of service"
    publisher.publish(SECOND, '"2"')
    assert refresh(fed)["changed"] is True
    assert (feed_of(fed)["failures"], feed_of(fed)["error"], warnings(fed)) == (0, "", [])
    assert set_in_kernel(fed, "feed") == set(SECOND)
    publisher.publish(SECOND[:300])
    assert refresh(fed, force=True)["changed"] is True
    assert set_in_kernel(fed, "feed") == set(SECOND[:300])


def test_a_server_that_hangs_holds_up_nobody_else(fed: Box, publisher: Publisher) -> None:
    publisher.held.clear()
    publisher.publish(SECOND, '"2"')
    asked = len(publisher.asked)
    hanging = fed.host.start(lambda: refresh(fed))
    assert eventually(lambda: len(publisher.asked) > asked)
    put_set(fed.client, "other", THIRD)
    assert set_in_kernel(fed, "other") == set(THIRD)
    assert warnings(fed) == []
    assert not hanging.done()
    publisher.held.set()
    assert hanging.result()["changed"] is True
    assert set_in_kernel(fed, "feed") == set(SECOND)


def test_a_new_set_whose_feed_fails_is_not_created(fed: Box, publisher: Publisher) -> None:
    for how in BAD[:-2]:
        spoil(publisher, how)
        body = {"feed": {"url": publisher.url}}
        problem = refusal(fed.client, "PUT", "/v1/sets/second", json=body)
        assert problem["status"] in (400, 502), how
    assert len(sets_in_kernel(fed)) == 1


def write(path: Path, body: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(body)
    fresh.replace(path)


def test_a_file_is_read_again_when_it_has_changed(fed: Box) -> None:
    path = fed.directory / "lists" / "local.txt"
    write(path, "\n".join(FIRST))
    fed.client.call("PUT", "/v1/sets/local", json={"feed": {"file": "local.txt"}})
    assert set_in_kernel(fed, "local") == set(FIRST)
    assert refresh(fed, "local")["changed"] is False
    write(path, "\n".join(SECOND))
    assert refresh(fed, "local")["changed"] is True
    assert set_in_kernel(fed, "local") == set(SECOND)
    for body in (HTML.decode(), "", "\n".join(SECOND[:30])):
        write(path, body)
        refusal(fed.client, "POST", "/v1/sets/local/refresh")
        assert feed_of(fed, "local")["error"]
        assert set_in_kernel(fed, "local") == set(SECOND)
    path.unlink()
    assert "No such file" in refusal(fed.client, "POST", "/v1/sets/local/refresh")["detail"]
    assert len(warnings(fed)) == 1
    write(path, "\n".join(THIRD))
    assert refresh(fed, "local")["changed"] is True
    assert set_in_kernel(fed, "local") == set(THIRD)
    assert warnings(fed) == []


def test_no_file_beside_the_lists_is_read(fed: Box) -> None:
    (fed.directory / "lists" / "out").symlink_to("/etc/hostname")
    for name in ("../state/rules.sqlite", "/etc/hostname", "out"):
        problem = refusal(fed.client, "PUT", "/v1/sets/local", json={"feed": {"file": name}})
        assert problem["status"] == 400, name
        assert "is not in" in problem["detail"]
