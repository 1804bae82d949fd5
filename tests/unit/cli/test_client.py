# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line's client, against a server that answers as the control plane might."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest

from xdpctl.client import Client, chunks
from xdpctl.errors import Refused, Unreachable

TOKEN = "of-this-test"  # noqa: S105  # of no real service
Asked = list[tuple[str, str, dict[str, str], bytes]]  # method, target, headers, body
PROBLEM = {"status": 413, "detail": "too large", "fix": "send less"}


class Handler(BaseHTTPRequestHandler):
    """Answers by path; what it was asked is kept."""

    asked: Asked

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        if self.path == "/early":
            return self._send(413, json.dumps(PROBLEM).encode(), "application/problem+json")
        self.asked.append((self.command, self.path, dict(self.headers), self._body()))
        if self.path.startswith("/lines"):
            return self._send(200, b'{"n": 1}\n{"n": 2}\n', "application/x-ndjson")
        if self.path == "/cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            return None
        if self.path == "/html":
            return self._send(502, b"<h1>Bad gateway</h1>", "text/html")
        if self.path == "/wrong":
            return self._send(200, b"{", "application/json")
        if self.path == "/readyz":
            return self._send(503, b'{"ready": false}', "application/json")
        return self._send(200, b'{"fine": true}', "application/json")

    do_GET = do_POST = do_PUT = _serve

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    class Kept(Handler):
        asked: Asked = []  # noqa: RUF012  # of this test alone

    with ThreadingUnixStreamServer(str(tmp_path / "api.sock"), Kept) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Kept.asked
        server.shutdown()
        thread.join()


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path / "api.sock", token=TOKEN)


def test_the_client_sends_the_given_request(client: Client, asked: Asked, tmp_path: Path) -> None:
    assert client.call("GET", "/v1/x", params={"a": "b c", "on": True, "none": None, "n": 7}) == {
        "fine": True
    }
    client.call("POST", "/v1/y", json={"source": "192.0.2.1"})
    (tmp_path / "list").write_bytes(b"192.0.2.1\n" * 20_000)
    sizes: list[int] = []
    body = chunks(tmp_path / "list", sizes.append)
    client.call("PUT", "/v1/z", content=body, headers={"content-type": "text/plain"})
    get, post, put = asked
    assert get[1] == "/v1/x?a=b+c&on=true&n=7"
    assert get[2]["Authorization"] == f"Bearer {TOKEN}"
    assert (post[2]["Content-Type"], json.loads(post[3])) == (
        "application/json",
        {"source": "192.0.2.1"},
    )
    assert put[2]["content-type"] == "text/plain"
    assert len(put[3]) == sum(sizes) == 200_000


def test_lines_come_one_by_one(client: Client, asked: Asked) -> None:
    assert list(client.lines("/lines", 5.0, params={"every": 2})) == [{"n": 1}, {"n": 2}]
    assert asked[0][1] == "/lines?every=2"


def test_a_body_that_is_refused_before_it_was_read_is_answered(
    client: Client, asked: Asked
) -> None:
    with pytest.raises(Refused, match="too large") as refused:
        client.call("POST", "/early", content=(b"x" * 65_536 for _ in range(400)))
    assert refused.value.problem == PROBLEM


def test_not_ready_is_an_answer(client: Client, asked: Asked) -> None:
    assert client.call("GET", "/readyz") == {"ready": False}


@pytest.mark.parametrize(
    ("path", "kind", "says"),
    [
        ("/cut", Unreachable, "failed: IncompleteRead"),
        ("/html", Refused, "Bad gateway"),
        ("/wrong", Unreachable, "is not JSON"),
        ("/with\nbreak", Unreachable, "failed: URL can't contain control characters"),
    ],
)
def test_a_malformed_response_is_reported(
    client: Client, asked: Asked, path: str, kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        client.call("GET", path)


def test_a_token_that_is_not_a_valid_header_is_reported(tmp_path: Path, asked: Asked) -> None:
    for token in ("a\nb", "ü€"):
        with pytest.raises(Unreachable, match="cannot be sent"):
            Client(tmp_path / "api.sock", token=token).call("GET", "/v1/x")


@pytest.mark.parametrize("url", ["box:8080", "ftp://box", "https://", "http://box:port"])
def test_an_invalid_url_is_reported(url: str) -> None:
    with pytest.raises(Unreachable, match="cannot be sent"):
        Client(Path("/nowhere"), url=url).call("GET", "/v1/status")


def test_a_socket_without_a_listener_is_reported(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"nothing answers on .*No such file"):
        Client(tmp_path / "missing.sock").call("GET", "/v1/status")


def test_a_server_that_never_answers_is_given_up_after_the_timeout(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "api.sock"))
        listening.listen()
        with pytest.raises(Unreachable, match=r"did not answer in 0\.05 s"):
            Client(tmp_path / "api.sock").call("GET", "/v1/status", seconds=0.05)
