# SPDX-License-Identifier: GPL-2.0-or-later
"""The CrowdSec bouncer: it requests all decisions, then changes, and again those left out."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.turns import Turns
from xdpctl.detectors.follow import crowdsec
from xdpctl.errors import ConfigError


class Lapi(ThreadingHTTPServer):
    """CrowdSec's stream: answers in turn, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.answers: list[tuple[int, Any]] = []
        super().__init__(("127.0.0.1", 0), _Stream)


class _Stream(BaseHTTPRequestHandler):
    server: Lapi

    def do_GET(self) -> None:
        self.server.asked.append((self.path.partition("?")[2], self.headers.get("X-Api-Key")))
        status, body = self.server.answers.pop(0)
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def lapi() -> Iterator[Lapi]:
    server = Lapi()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_bouncer_asks_for_all_then_for_changes_and_after_an_error_for_all(lapi: Lapi) -> None:
    new: dict[str, Any] = {"new": [], "deleted": None}
    lapi.answers = [(200, new), (200, new), (500, {}), (200, new), (200, new)]
    given: list[bytes] = []
    url = f"http://127.0.0.1:{lapi.server_address[1]}"
    turns = Turns(*[lambda: None] * 4)
    whole: list[bool] = []

    def give(body: bytes, all_of_it: bool) -> bool:
        given.append(body)
        whole.append(all_of_it)
        return True

    crowdsec.follow(crowdsec.Access(url, "key"), 7.0, give, turns)
    assert whole == [True, False, True, False]
    wanted = ["true", "false", "false", "true", "false"]
    assert lapi.asked == [(f"startup={said}", "key") for said in wanted]
    assert [json.loads(body) for body in given] == [new] * 4
    assert set(turns.waited) == {7.0}


def test_an_unknown_key_ends_the_bouncer_and_an_absent_lapi_does_not(lapi: Lapi) -> None:
    lapi.answers = [(403, {"message": "access forbidden"})]
    url = f"http://127.0.0.1:{lapi.server_address[1]}"
    with pytest.raises(ConfigError, match="cscli bouncers add"):
        crowdsec.follow(crowdsec.Access(url, "wrong"), 1.0, lambda *_: True, Turns())
    nobody = crowdsec.Access("http://127.0.0.1:1", "key")
    crowdsec.follow(nobody, 1.0, lambda *_: True, Turns(lambda: None))


def test_a_large_answer_is_passed_on_in_pieces_with_deletions_first() -> None:
    new = [{"value": f"203.0.113.{n % 256}", "id": n} for n in range(4_500)]
    body = json.dumps({"new": new, "deleted": [{"value": "203.0.113.1"}]}).encode()
    pieces = [json.loads(piece) for piece in crowdsec.pieces(body)]
    assert [{kind: len(held) for kind, held in piece.items()} for piece in pieces] == [
        {"deleted": 1},
        *({"new": count} for count in (2_000, 2_000, 500)),
    ]
    assert [one for piece in pieces[1:] for one in piece["new"]] == new
    for whole in (b'{"new": null, "deleted": null}', b"no JSON", b"[]"):
        assert list(crowdsec.pieces(whole)) == [whole]


def test_decisions_that_were_only_partly_applied_are_requested_again_soon(lapi: Lapi) -> None:
    lapi.answers += [(200, {"new": None, "deleted": None})] * 9
    turns = Turns(*[lambda: None] * 8)
    done = iter([False, *[True] * 8])
    access = crowdsec.Access(f"http://127.0.0.1:{lapi.server_address[1]}", "key")
    crowdsec.follow(access, 7.0, lambda *_: next(done), turns)
    whole = ["startup=true" in asked for asked, _ in lapi.asked]
    assert whole == [True, *[False] * 6, True, False]


def test_decisions_refused_each_time_are_requested_less_and_less_often(lapi: Lapi) -> None:
    lapi.answers += [(200, {"new": None, "deleted": None})] * 90
    access = crowdsec.Access(f"http://127.0.0.1:{lapi.server_address[1]}", "key")
    turns = Turns(*[lambda: None] * 89)
    crowdsec.follow(access, 7.0, lambda _, whole: not whole, turns)
    at = [n for n, (asked, _) in enumerate(lapi.asked) if "startup=true" in asked]
    assert at == [0, 7, 20, 45]


@pytest.mark.parametrize("lapi", ["", "127.0.0.1:8080", "ftp://x", "http://"])
def test_an_address_that_is_not_an_api_is_reported_at_once(lapi: str) -> None:
    with pytest.raises(ConfigError, match="is not the address of an API"):
        crowdsec.Access(lapi, "key").session()
