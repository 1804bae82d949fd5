# SPDX-License-Identifier: GPL-2.0-or-later
"""A fetch connects only to allowed hosts: addresses, certificates, proxies."""

import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import need
from tests.support.webserver import (
    HASTY,
    LOCAL,
    NEW,
    PUBLIC,
    STRICT,
    Server,
    Wire,
    answer,
    hang,
    names,
    redirect,
    refusal,
)
from xdpctl.errors import ConfigError
from xdpctl.lists.fetch import fetch
from xdpctl.lists.settings import FetchPolicy


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and self-signed certificate of feeds.test in one file."""
    need(shutil.which("openssl") is not None, "the openssl command")
    path = tmp_path_factory.mktemp("tls") / "feeds.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=feeds.test -addext"
    files = ["subjectAltName=DNS:feeds.test", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("http://127.0.0.1:9/", "redirected to http://127.0.0.1:9/: 127.0.0.1 is a loopback add"),
        (
            "http://inside.test/",
            "inside.test is at 10.0.0.1, a private address, which is not allowed",
        ),
        ("http://mixed.test/", "mixed.test is at ::1, a loopback address, which is not allowed"),
        ("http://odd.test/", "odd.test is at somewhere, a malformed address"),
    ],
)
def test_a_redirect_cannot_lead_to_an_inside_address(target: str, says: str) -> None:
    wire = Wire()
    found = names(feeds=PUBLIC, inside="10.0.0.1", mixed=f"{PUBLIC} ::1", odd="somewhere")
    with closing(Server(redirect(target))) as server:
        url = f"http://feeds.test:{server.port}/"
        assert says in refusal(url, STRICT, resolve=found, network=wire)
    assert wire.dialled == [PUBLIC]


def test_the_checked_address_is_the_one_that_is_dialled() -> None:
    wire, replies = Wire(), iter([[PUBLIC], ["127.0.0.1"]])  # a name that changes its mind
    with closing(Server(answer(b"x"))) as server:
        url = f"http://feeds.test:{server.port}/"
        fetch(url, NEW, STRICT, resolve=lambda host, port: next(replies), network=wire)
        assert "is at 127.0.0.1" in refusal(
            url, STRICT, resolve=lambda host, port: next(replies), network=wire
        )
    assert wire.dialled == [PUBLIC]
    assert f"Host: feeds.test:{server.port}\r\n" in server.requests[0]


def test_a_certificate_must_match_the_name_and_a_trusted_authority(
    certificate: Path, tls: ssl.SSLContext
) -> None:
    how: dict[str, Any] = {"resolve": names(feeds=PUBLIC, other=PUBLIC), "network": Wire()}
    known = replace(STRICT, ca_file=f"{certificate}.crt")
    down = redirect("http://feeds.test/")
    with closing(Server(answer(b"x"), b"", b"", down, hang, tls=tls)) as server:
        feeds, other = (f"https://{name}.test:{server.port}/" for name in ("feeds", "other"))
        assert fetch(feeds, NEW, known, **how).body == b"x"
        said = refusal(other, known, **how)
        assert "its certificate is not accepted: Hostname mismatch" in said
        assert "not accepted: self-signed certificate" in refusal(feeds, STRICT, **how)
        said = refusal(feeds, known, **how)
        assert said.startswith("redirected to http://feeds.test/: from https to http")
        hasty = replace(known, timeout_seconds=0.2)
        assert "did not answer within 0.2 s" in refusal(feeds, hasty, **how)
    with closing(Server(answer(b"x"))) as server:
        assert "wrong version number" in refusal(server.url.replace("http", "https"), LOCAL)
    assert "ca_file /none: No such file" in refusal(feeds, replace(LOCAL, ca_file="/none"))


def test_a_proxy_does_not_see_inside_https(certificate: Path, tls: ssl.SSLContext) -> None:
    def tunnel(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        with tls.wrap_socket(peer, server_side=True) as inner:
            inner.recv(65536)
            inner.sendall(answer(b"x"))

    with closing(Server(tunnel, tunnel)) as server:
        proxied = FetchPolicy(proxy=f"http://127.0.0.1:{server.port}", ca_file=f"{certificate}.crt")
        assert fetch("https://feeds.test/", NEW, proxied).body == b"x"
        assert "Hostname mismatch" in refusal("https://other.test/", proxied)
    assert server.requests[0].startswith("CONNECT feeds.test:443 HTTP/1.1\r\n")


def test_an_unreachable_server_is_named() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as closed:
        port = closed.getsockname()[1]
    said = refusal(f"http://127.0.0.1:{port}/", LOCAL)
    assert said == f"127.0.0.1 port {port}: 127.0.0.1: Connection refused"
    said = refusal("http://nobody.test/", LOCAL, resolve=names())
    assert said == "nobody.test does not resolve: Name or service not known"


def test_a_resolver_that_hangs_is_given_up() -> None:
    done = threading.Event()

    def silent(host: str, port: int) -> list[str]:
        done.wait()
        return []

    said = refusal("http://slow.test/", HASTY, resolve=silent)
    done.set()
    for thread in threading.enumerate():
        if thread.name == "resolve":
            thread.join()
    assert said == "slow.test: no answer from DNS"


def test_only_a_configured_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with closing(Server(answer(b"x"), answer(b"y"), answer(status="403 No"))) as server:
        assert fetch(server.url, NEW, LOCAL).body == b"x"
        proxied = replace(STRICT, proxy=f"http://me:pw@127.0.0.1:{server.port}")
        assert fetch("http://feeds.test/a", NEW, proxied).body == b"y"
        assert "the proxy refused: 403" in refusal("https://feeds.test/a", proxied)
        assert "private address" in refusal("http://10.0.0.1/", proxied)
    assert server.requests[1].startswith("GET http://feeds.test/a HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic" in server.requests[1]
    for proxy in ("socks5://h", "https://h", "h:1", "http://h:x", "http://"):
        with pytest.raises(ConfigError, match="proxy"):
            FetchPolicy(proxy=proxy)
