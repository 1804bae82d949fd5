"""A fetch brings the whole list or one line about why not, and goes nowhere it should not."""

import gzip
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpcore
import pytest

from tests.conftest import need
from xdpctl import __version__
from xdpctl.errors import ConfigError, RuleError
from xdpctl.fetch import Fetched, FetchError, Policy, Validators, check_url, fetch

STRICT = Policy(max_bytes=1000, allow_http=True)
LOCAL = replace(STRICT, allow_private=True)
HASTY = replace(LOCAL, timeout_seconds=0.1)
PUBLIC = "198.41.0.4"
DATE = "Mon, 23 Nov 2026 00:00:00 GMT"
GZIP = "Content-Encoding: gzip"
NEW = Validators()
Reply = bytes | Callable[[socket.socket], None]


class Server:
    """Answers one connection with each reply, and remembers what it was asked."""

    def __init__(self, *replies: Reply, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[str] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/list"
        self._replies, self._tls = replies, tls
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for reply in self._replies:
            with suppress(OSError), ExitStack() as stack:
                peer = stack.enter_context(self.listener.accept()[0])
                if self._tls:
                    peer = stack.enter_context(self._tls.wrap_socket(peer, server_side=True))
                self.requests.append(peer.recv(65536).decode("latin-1"))
                if callable(reply):
                    reply(peer)
                else:
                    peer.sendall(reply)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes an accept
        self._thread.join()
        self.listener.close()


def answer(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def redirect(target: str) -> bytes:
    return answer(b"", f"Location: {target}", status="302 Found")


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + end


def hang(peer: socket.socket) -> None:
    peer.recv(1)  # nothing comes; it ends when the client has gone


def drip(start: bytes) -> Reply:
    def reply(peer: socket.socket) -> None:
        peer.sendall(start)
        peer.settimeout(0.02)
        while True:
            peer.sendall(b"x")
            with suppress(TimeoutError):
                if not peer.recv(1):
                    return

    return reply


class Wire(httpcore.SyncBackend):
    """A network on which every address is this machine; notes which were dialled."""

    def __init__(self) -> None:
        self.dialled: list[str] = []

    def connect_tcp(self, host: str, port: int, *more: Any) -> httpcore.NetworkStream:
        self.dialled.append(host)
        return super().connect_tcp("127.0.0.1", port, *more)


def names(**table: str) -> Callable[[str, int], list[str]]:
    def resolve(host: str, port: int) -> list[str]:
        if found := table.get(host.partition(".")[0]):
            return found.split()
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    return resolve


def refusal(url: str, policy: Policy, **how: Any) -> str:
    with pytest.raises(FetchError) as caught:
        fetch(url, NEW, policy, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


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
    ("header", "asked", "known"),
    [
        ('ETag: "v1"', 'If-None-Match: "v1"', Validators('"v1"')),
        (f"Last-Modified: {DATE}", f"If-Modified-Since: {DATE}", Validators("", DATE)),
    ],
)
def test_an_unchanged_list_is_not_sent_twice(header: str, asked: str, known: Validators) -> None:
    first = answer(b"192.0.2.1\n", header, "Content-Type: text/plain")
    with closing(Server(first, b"HTTP/1.1 304 Not Modified\r\n\r\n")) as server:
        fetched = fetch(server.url, NEW, LOCAL)
        assert fetched == Fetched(b"192.0.2.1\n", known, server.url, "text/plain")
        again = fetch(server.url, fetched.validators, LOCAL)
        assert again == Fetched(None, known, server.url, "")
    assert "If-" not in server.requests[0]
    assert f"User-Agent: xdpctl/{__version__}\r\n" in server.requests[0]
    assert f"{asked}\r\n" in server.requests[1]


def test_a_body_may_come_in_chunks_and_packed() -> None:
    packed = answer(gzip.compress(b"x" * 1000), GZIP)
    with closing(Server(chunked(b"a" * 600, b"b" * 400), packed)) as server:
        assert fetch(server.url, NEW, LOCAL).body == b"a" * 600 + b"b" * 400
        assert fetch(server.url, NEW, LOCAL).body == b"x" * 1000


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (answer(b"x" * 1001), "too large: 1001 bytes, where 1000 are allowed"),
        (chunked(*[b"x" * 100] * 11), "and more, where 1000 are allowed"),
        (answer(gzip.compress(bytes(100_000)), GZIP), "unpacks to 1001 bytes and more, 1000 are"),
        (answer(b"x" * 100)[:-90], "(received 10 bytes, expected 100)"),
        (chunked(b"192.0.2.1\n", end=b""), "without sending complete message body"),
        (b"HTTP/1.0 200 OK\r\n\r\n192.0.2.1\n", "does not say where the body ends"),
        (answer(gzip.compress(b"x")[:-1], GZIP), "the gzip is cut short"),
        (answer(b"nonsense", GZIP), "the gzip is damaged"),
        (answer(gzip.compress(b"x") * 2, GZIP), "the gzip goes on after its end"),
        (answer(b"x", "Content-Encoding: br"), "encoded as 'br'"),
        (answer(status="404 Go away"), "the server answered 404 Not Found"),
        (answer(status="500 Oops"), "the server answered 500 Internal Server Error"),
        (answer(b"x", status="206 Some"), "the server answered 206 Partial Content"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "the server answered 304 Not Modified"),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "illegal status line"),
        (b"", "without sending a response"),
        (redirect("file:///etc/passwd"), "redirected to file:///etc/passwd: file: is not fetched"),
        (redirect("http://user:word@b/?key=word"), "redirected to http://b/: the URL carries"),
        (redirect("http://[::1"), "redirected to what is not a URL"),
    ],
)
def test_what_is_not_a_whole_list_is_an_error(reply: Reply, says: str) -> None:
    with closing(Server(reply)) as server:
        said = refusal(server.url, LOCAL)
    assert says in said
    assert "word" not in said.replace("passwd", "")


def test_a_server_that_hangs_or_drips_is_left() -> None:
    body, header = drip(answer(b"x" * 900)[:-900]), drip(b"HTTP/1.1 200 OK\r\nX: ")
    with closing(Server(hang, body, header)) as server:
        assert "did not answer within 0.1 s" in refusal(server.url, HASTY)
        late = replace(LOCAL, deadline_seconds=0.2)
        assert refusal(server.url, late) == "not finished after 0.2 s"
        assert refusal(server.url, late) == "not finished after 0.2 s"


def test_redirects_are_followed_so_far() -> None:
    with closing(Server(redirect("/b?c"), redirect("d"), answer(b"x"), redirect("e"))) as server:
        here = server.url.removesuffix("/list")
        assert fetch(server.url, NEW, replace(LOCAL, max_redirects=2)).url == f"{here}/d"
        assert [line.split()[1] for line in server.requests] == ["/list", "/b?c", "/d"]
        said = refusal(server.url, replace(LOCAL, max_redirects=0))
        assert said == f"redirected to {here}/e: more than 0 redirects"
    with closing(Server(*[redirect("/list")] * 6)) as server:
        assert "more than 5 redirects" in refusal(server.url, LOCAL)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("http://127.0.0.1:9/", "redirected to http://127.0.0.1:9/: 127.0.0.1 is a loopback add"),
        ("http://inside.test/", "inside.test is at 10.0.0.1, a private address, and not allowed"),
        ("http://mixed.test/", "mixed.test is at ::1, a loopback address, and not allowed"),
        ("http://odd.test/", "odd.test is at somewhere, a malformed address"),
    ],
)
def test_a_redirect_leads_nowhere_inside(target: str, says: str) -> None:
    wire = Wire()
    found = names(feeds=PUBLIC, inside="10.0.0.1", mixed=f"{PUBLIC} ::1", odd="somewhere")
    with closing(Server(redirect(target))) as server:
        url = f"http://feeds.test:{server.port}/"
        assert says in refusal(url, STRICT, resolve=found, network=wire)
    assert wire.dialled == [PUBLIC]


def test_what_was_checked_is_what_is_dialled() -> None:
    wire, replies = Wire(), iter([[PUBLIC], ["127.0.0.1"]])  # a name that changes its mind
    with closing(Server(answer(b"x"))) as server:
        url = f"http://feeds.test:{server.port}/"
        fetch(url, NEW, STRICT, resolve=lambda host, port: next(replies), network=wire)
        assert "is at 127.0.0.1" in refusal(
            url, STRICT, resolve=lambda host, port: next(replies), network=wire
        )
    assert wire.dialled == [PUBLIC]
    assert f"Host: feeds.test:{server.port}\r\n" in server.requests[0]


def test_a_certificate_is_for_the_name_and_from_one_who_may(
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
        proxied = Policy(proxy=f"http://127.0.0.1:{server.port}", ca_file=f"{certificate}.crt")
        assert fetch("https://feeds.test/", NEW, proxied).body == b"x"
        assert "Hostname mismatch" in refusal("https://other.test/", proxied)
    assert server.requests[0].startswith("CONNECT feeds.test:443 HTTP/1.1\r\n")


def test_who_is_not_there_is_named() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as closed:
        port = closed.getsockname()[1]
    said = refusal(f"http://127.0.0.1:{port}/", LOCAL)
    assert said == f"127.0.0.1 port {port}: 127.0.0.1: Connection refused"
    said = refusal("http://nobody.test/", LOCAL, resolve=names())
    assert said == "nobody.test does not resolve: Name or service not known"


def test_a_resolver_that_hangs_is_left() -> None:
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


def test_only_a_proxy_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
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
            Policy(proxy=proxy)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "not a URL"),
        ("feeds.test/list", "not a URL"),
        ("http://h:port/", "not a URL: Invalid port"),
        ("http://h/\n", "not a URL: Invalid non-printable"),
        ("file:///etc/passwd", "file: is not fetched"),
        ("ftp://user:word@feeds.test/", "ftp: is not fetched"),
        ("https:///list", "names no host"),
        ("https://[::1/", "not a URL: Invalid port"),
        ("https://[fe80::1%25eth0]/", "names no host that can exist"),
        ("https://a..test/", "names no host that can exist"),
        ("https://h:70000/", "there is no port 70000"),
        ("https://user:word@feeds.test/", "carries credentials"),
        ("http://feeds.test/", "can forge"),
        *[
            (f"https://{host}/", f"{host.strip('[]')} is a {kind} address")
            for kind, hosts in {
                "loopback": "127.0.0.1 127.1 0x7f000001 2130706433 [::1] [::ffff:127.0.0.1]"
                " [64:ff9b::7f00:1] [2002:7f00:1::]",
                "private": "10.1.2.3 172.31.0.1 192.168.0.1 [fd00::1] [::ffff:10.0.0.1]",
                "link-local": "169.254.169.254 [fe80::1]",
                "shared": "100.64.0.1",
                "multicast": "224.0.0.1 239.1.1.1 [ff02::1]",
                "unspecified": "0.0.0.0 0 [::]",
                "reserved": "240.0.0.1 255.255.255.255 [::7f00:1] [64:ff9b:1::1]",
                "site-local": "[fec0::1]",
            }.items()
            for host in hosts.split()
        ],
    ],
)
def test_a_bad_url_is_refused_at_once(url: str, says: str) -> None:
    with pytest.raises(RuleError) as caught:
        check_url(url, Policy())
    assert says in str(caught.value)
    assert "word" not in str(caught.value)
    assert caught.value.field == "url"
    assert caught.value.fix
    assert says in refusal(url, Policy())


def test_a_good_url_is_not() -> None:
    for url in ("https://feeds.test/a?b=c", "https://[2606:4700::1]:8443/", "https://8.8.8.8"):
        check_url(url, Policy())
    for url in ("http://127.0.0.1/", "http://[::1]/", "http://224.0.0.1/"):
        check_url(url, LOCAL)
