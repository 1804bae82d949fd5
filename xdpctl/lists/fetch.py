# SPDX-License-Identifier: GPL-2.0-or-later
"""Fetches a list over HTTP; neither the URL nor the answer is trusted."""

import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import responses

import httpcore2
import httpx2

from xdpctl import __version__
from xdpctl.base.gunzip import GzipError, GzipTooLarge, gunzip
from xdpctl.errors import FetchError, RuleError
from xdpctl.lists.safe_dial import Dialer, Resolve, in_full, in_words, kind_of, literal, resolve
from xdpctl.lists.settings import FetchPolicy

_REDIRECTS = (301, 302, 303, 307, 308)
_LONGEST_VALIDATOR = 1000  # characters; longer validators are not kept


@dataclass(frozen=True, slots=True)
class Validators:
    """The server's validators of a version, sent back for a conditional request (RFC 9110)."""

    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete answer; `body` is None if the known version is still current (304)."""

    body: bytes | None
    validators: Validators
    url: str  # after redirects
    content_type: str


def check_url(url: str, policy: FetchPolicy) -> None:
    """RuleError if the URL must not be fetched, as far as the URL alone shows."""
    _parse(url, policy)


def fetch(
    url: str,
    validators: Validators,
    policy: FetchPolicy,
    *,
    resolve: Resolve = resolve,
    network: httpcore2.NetworkBackend | None = None,
) -> Fetched:
    """GET a URL, following redirects, and return the answer.

    Connections go through `network` to the addresses that `resolve` finds, if the policy allows
    them. FetchError if there is no complete answer.
    """
    dialer = Dialer(policy, resolve, network or httpcore2.SyncBackend())
    target, via = url, ""
    with _pool(policy, dialer) as pool:
        for _ in range(policy.max_redirects + 1):
            try:
                parsed = _parse(target, policy)
                with _get(pool, parsed, validators, dialer) as response:
                    answer = _answer(response, parsed, validators, policy.max_bytes)
            except (FetchError, RuleError) as error:
                raise FetchError(f"{via}{error}") from error
            if isinstance(answer, Fetched):
                return answer
            target, via = str(answer), f"redirected to {_place(answer)}: "
            if parsed.scheme == "https" and answer.scheme == "http":
                raise FetchError(f"{via}from https to http, which can be forged on the way")
    raise FetchError(f"{via}more than {policy.max_redirects} redirects")


def _parse(url: str, policy: FetchPolicy) -> httpx2.URL:
    """Parse and check a URL; the connection uses the same result. RuleError if it is refused."""
    fix = "write it as https://host/path"
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError) as error:
        raise RuleError(f"not a URL: {in_words(error)}", "url", fix) from None
    scheme, host, port = parsed.scheme, parsed.raw_host.decode("ascii"), parsed.port
    if scheme not in ("https", "http"):
        problem = f"{scheme[:20]}: is not supported, only https and http" if scheme else "not a URL"
        raise RuleError(problem, "url", fix)
    if scheme == "http" and not policy.allow_http:
        problem = "an answer over http can be forged on the way"
        raise RuleError(problem, "url", "write https://, or set feeds.allow_http")
    if parsed.userinfo:
        problem = "the URL has credentials, which would be shown together with it"
        raise RuleError(problem, "url", "leave out the part before the @")
    labels = host.removesuffix(".").split(".")
    if "%" in host or not all(0 < len(label) < 64 for label in labels):
        raise RuleError("the host name in the URL is not valid", "url", fix)
    if port is not None and not 0 < port < 65536:
        raise RuleError(f"there is no port {port}", "url", "write one from 1 to 65535")
    address = None if policy.allow_private else literal(host)
    if address and (kind := kind_of(address)):
        raise RuleError(f"{host} is {in_full(kind)}", "url", "name a public host")
    return parsed


def _place(url: httpx2.URL) -> str:
    """A URL for a message, without user and query, which may have secrets."""
    path = url.raw_path.partition(b"?")[0]
    return f"{url.scheme}://{url.netloc.decode('ascii')}{path.decode('ascii')}"[:200]


def _pool(policy: FetchPolicy, dialer: Dialer) -> httpcore2.ConnectionPool:
    proxy = None
    if policy.proxy:
        split = httpx2.Proxy(policy.proxy)
        proxy = httpcore2.Proxy(str(split.url), auth=split.raw_auth)
    try:
        context = ssl.create_default_context(cafile=policy.ca_file or None)
    except OSError as error:
        raise FetchError(f"ca_file {policy.ca_file}: {in_words(error)}") from error
    return httpcore2.ConnectionPool(ssl_context=context, proxy=proxy, network_backend=dialer)


@contextmanager
def _get(
    pool: httpcore2.ConnectionPool, url: httpx2.URL, validators: Validators, dialer: Dialer
) -> Iterator[httpcore2.Response]:
    """Send one request; an error of the transfer inside the block becomes a FetchError."""
    fields = {
        "Host": url.netloc.decode("ascii"),
        "User-Agent": f"xdpctl/{__version__}",
        "Accept-Encoding": "gzip",
        "If-None-Match": validators.etag,
        "If-Modified-Since": validators.last_modified,
    }
    headers = [(k.encode(), v.encode("latin-1", "replace")) for k, v in fields.items() if v]
    target = httpcore2.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )
    try:
        with pool.stream("GET", target, headers=headers) as response:
            yield response
    except httpcore2.TimeoutException as error:
        dialer.left()  # raises if the deadline has passed
        seconds = dialer.policy.timeout_seconds
        raise FetchError(f"{url.host} did not answer within {seconds:g} s") from error
    except httpcore2.ProxyError as error:
        raise FetchError(f"the proxy refused: {in_words(error)}") from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise FetchError(f"{url.host}: {in_words(error)}") from error


def _answer(
    response: httpcore2.Response, url: httpx2.URL, validators: Validators, most: int
) -> Fetched | httpx2.URL:
    """The answer, or the target of a redirect."""
    status, headers = response.status, httpx2.Headers(response.headers)
    if status in _REDIRECTS and "location" in headers:
        try:
            return url.join(headers["location"])
        except (httpx2.InvalidURL, ValueError) as error:
            raise FetchError(f"redirected to an invalid URL: {in_words(error)}") from None
    unchanged = status == 304 and validators != Validators()
    if status != 200 and not unchanged:
        raise FetchError(f"the server answered {status} {responses.get(status, '')}".rstrip())
    old = validators if unchanged else Validators()
    stated = (headers.get("etag", old.etag), headers.get("last-modified", old.last_modified))
    bounded = (v if v.isascii() and len(v) <= _LONGEST_VALIDATOR else "" for v in stated)
    body = None if unchanged else _body(response, headers, most)
    return Fetched(body, Validators(*bounded), str(url), headers.get("content-type", ""))


def _body(response: httpcore2.Response, headers: httpx2.Headers, most: int) -> bytes:
    """The complete body; FetchError if it may have been truncated, or is too large."""
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "gzip", "x-gzip"):
        raise FetchError(f"the body is encoded as {coding[:40]!r}, which was not asked for")
    if "content-length" not in headers and "transfer-encoding" not in headers:
        raise FetchError("the server does not say where the body ends, so it may be truncated")
    size = int(headers.get("content-length", "0"))
    if size > most:
        raise FetchError(f"too large: {size} bytes; at most {most} are allowed (bulk_max_bytes)")
    pieces = _pieces(response.iter_stream(), most)
    return b"".join(pieces if coding == "identity" else _unpacked(pieces, most))


def _pieces(stream: Iterable[bytes], most: int) -> Iterator[bytes]:
    size = 0
    for piece in stream:
        size += len(piece)
        if size > most:
            raise FetchError(
                f"too large: at least {size} bytes; at most {most} are allowed (bulk_max_bytes)"
            )
        yield piece


def _unpacked(pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    """The contents of one gzip member."""
    try:
        yield from gunzip(pieces, most, members=1)
    except GzipTooLarge as error:
        raise FetchError(f"too large: {error} (bulk_max_bytes)") from error
    except GzipError as error:
        raise FetchError(str(error)) from error
