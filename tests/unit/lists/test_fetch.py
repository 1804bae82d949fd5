# SPDX-License-Identifier: GPL-2.0-or-later
"""A fetch returns the whole list, or fails with a one-line reason."""

import gzip
from contextlib import closing
from dataclasses import replace

import pytest

from tests.support.webserver import (
    HASTY,
    LOCAL,
    NEW,
    Reply,
    Server,
    answer,
    chunked,
    drip,
    hang,
    redirect,
    refusal,
)
from xdpctl import __version__
from xdpctl.errors import RuleError
from xdpctl.lists.fetch import Fetched, Validators, check_url, fetch
from xdpctl.lists.settings import FetchPolicy

DATE = "Mon, 23 Nov 2026 00:00:00 GMT"
GZIP = "Content-Encoding: gzip"


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


def test_a_body_may_be_chunked_and_compressed() -> None:
    packed = answer(gzip.compress(b"x" * 1000, mtime=0), GZIP)
    with closing(Server(chunked(b"a" * 600, b"b" * 400), packed)) as server:
        assert fetch(server.url, NEW, LOCAL).body == b"a" * 600 + b"b" * 400
        assert fetch(server.url, NEW, LOCAL).body == b"x" * 1000


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (answer(b"x" * 1001), "too large: 1001 bytes; at most 1000 are allowed (bulk_max_bytes)"),
        (
            chunked(*[b"x" * 100] * 11),
            "at least 1100 bytes; at most 1000 are allowed (bulk_max_bytes)",
        ),
        (
            answer(gzip.compress(bytes(100_000), mtime=0), GZIP),
            "bytes unpacked; at most 1000 are allowed (bulk_max_bytes)",
        ),
        (answer(b"x" * 100)[:-90], "(received 10 bytes, expected 100)"),
        (chunked(b"192.0.2.1\n", end=b""), "without sending complete message body"),
        (b"HTTP/1.0 200 OK\r\n\r\n192.0.2.1\n", "does not say where the body ends"),
        (answer(gzip.compress(b"x", mtime=0)[:-1], GZIP), "the gzip data ends early"),
        (answer(b"nonsense", GZIP), "the gzip data is corrupt"),
        (
            answer(gzip.compress(b"x", mtime=0) * 2, GZIP),
            "there is data after the end of the gzip data",
        ),
        (answer(b"x", "Content-Encoding: br"), "encoded as 'br'"),
        (answer(status="404 Go away"), "the server answered 404 Not Found"),
        (answer(status="500 Oops"), "the server answered 500 Internal Server Error"),
        (answer(b"x", status="206 Some"), "the server answered 206 Partial Content"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "the server answered 304 Not Modified"),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "illegal status line"),
        (b"", "without sending a response"),
        (
            redirect("file:///etc/passwd"),
            "redirected to file:///etc/passwd: file: is not supported",
        ),
        (
            redirect("http://user:word@b/?key=word"),
            "redirected to http://b/: the URL has credentials",
        ),
        (redirect("http://[::1"), "redirected to an invalid URL"),
    ],
)
def test_an_incomplete_list_is_an_error(reply: Reply, says: str) -> None:
    with closing(Server(reply)) as server:
        said = refusal(server.url, LOCAL)
    assert says in said
    assert "word" not in said.replace("passwd", "")


def test_a_server_that_hangs_or_drips_is_given_up() -> None:
    body, header = drip(answer(b"x" * 900)[:-900]), drip(b"HTTP/1.1 200 OK\r\nX: ")
    with closing(Server(hang, body, header)) as server:
        assert "did not answer within 0.1 s" in refusal(server.url, HASTY)
        late = replace(LOCAL, deadline_seconds=0.2)
        assert refusal(server.url, late) == "not finished after 0.2 s"
        assert refusal(server.url, late) == "not finished after 0.2 s"


def test_a_limited_number_of_redirects_is_followed() -> None:
    with closing(Server(redirect("/b?c"), redirect("d"), answer(b"x"), redirect("e"))) as server:
        here = server.url.removesuffix("/list")
        assert fetch(server.url, NEW, replace(LOCAL, max_redirects=2)).url == f"{here}/d"
        assert [line.split()[1] for line in server.requests] == ["/list", "/b?c", "/d"]
        said = refusal(server.url, replace(LOCAL, max_redirects=0))
        assert said == f"redirected to {here}/e: more than 0 redirects"
    with closing(Server(*[redirect("/list")] * 6)) as server:
        assert "more than 5 redirects" in refusal(server.url, LOCAL)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "not a URL"),
        ("feeds.test/list", "not a URL"),
        ("http://h:port/", "not a URL: Invalid port"),
        ("http://h/\n", "not a URL: Invalid non-printable"),
        ("file:///etc/passwd", "file: is not supported"),
        ("ftp://user:word@feeds.test/", "ftp: is not supported"),
        ("https:///list", "host name in the URL is not valid"),
        ("https://[::1/", "not a URL: Invalid port"),
        ("https://[fe80::1%25eth0]/", "host name in the URL is not valid"),
        ("https://a..test/", "host name in the URL is not valid"),
        ("https://h:70000/", "there is no port 70000"),
        ("https://user:word@feeds.test/", "has credentials"),
        ("http://feeds.test/", "can be forged"),
        *[
            (
                f"https://{host}/",
                f"{host.strip('[]')} is a{'n' * (kind == 'unspecified')} {kind} address",
            )
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
        check_url(url, FetchPolicy())
    assert says in str(caught.value)
    assert "word" not in str(caught.value)
    assert caught.value.field == "url"
    assert caught.value.fix
    assert says in refusal(url, FetchPolicy())


def test_plain_http_names_the_setting_that_allows_it() -> None:
    with pytest.raises(RuleError) as caught:
        check_url("http://feeds.test/", FetchPolicy())
    assert "feeds.allow_http" in caught.value.fix


def test_a_valid_url_is_accepted() -> None:
    for url in ("https://feeds.test/a?b=c", "https://[2606:4700::1]:8443/", "https://8.8.8.8"):
        check_url(url, FetchPolicy())
    for url in ("http://127.0.0.1/", "http://[::1]/", "http://224.0.0.1/"):
        check_url(url, LOCAL)
