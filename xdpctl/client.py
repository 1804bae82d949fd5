# SPDX-License-Identifier: GPL-2.0-or-later
"""The CLI's client of the control plane: over its Unix socket, or a URL with a token.

It uses http.client, since importing a larger library costs more time than most commands take.
"""

import json
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from xdpctl.base.system import ssh_logins
from xdpctl.errors import Interrupted, Refused, Unreachable

_SECONDS = 30.0
SLOW_SECONDS = 150.0  # a fetch takes up to a minute, then the control plane must apply the list
_CONNECT_SECONDS = 1.0  # on the Unix socket: connect() blocks for ever if its backlog is full
_CHUNK = 1 << 16
PAGE = 10_000  # rules in a page
NODE_HEADER = "XDPCTL-Node"
Body = bytes | Iterable[bytes]


def path(*parts: str) -> str:
    """A path of v1. The parts are quoted, so that none becomes two parts or a query."""
    return "/".join(("/v1", *(quote(part, safe=":") for part in parts)))


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("xdpctl", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        try:
            self.sock.settimeout(_CONNECT_SECONDS)
            self.sock.connect(str(self._path))
            self.sock.settimeout(self.timeout)
        except PermissionError:
            raise Unreachable(
                f"you may not open {self._path}; use sudo, or join the group xdpctl"
            ) from None
        except OSError as error:
            raise Unreachable(
                f"nothing answers on {self._path} ({error.strerror or error}). Is `xdpctl run` "
                "running? The rules that are in the kernel continue to filter."
            ) from None


@dataclass(slots=True)
class Client:
    """A client of one control plane; every call returns the JSON body or raises.

    In a fleet, `node` is the node to ask, and `stated` has query parameters for every change.
    `warn` is called with a text if nodes are missing from an answer.
    """

    socket: Path
    url: str | None = None
    token: str | None = None
    node: str = ""
    stated: Mapping[str, str] = field(default_factory=dict)
    warn: Callable[[str], None] = lambda text: None

    def call(
        self,
        method: str,
        path: str,
        seconds: float = _SECONDS,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        content: Body | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one request; Refused or Unreachable if it does not succeed within `seconds`.

        The body is `json`, or the bytes `content`. An answer that is not JSON is returned as text.
        """
        with self._answer(method, path, seconds, params, json, content, headers) as answer:
            data = answer.read()
        if missing := answer.headers.get("xdpctl-missing", ""):
            self.warn(f"without {missing[:500]}, which did not answer")
        not_ready = path == "/readyz" and answer.status == 503
        if answer.status >= 300 and not not_ready:
            raise _refused(answer, data)
        kind = answer.headers.get("content-type", "")
        return _load(data) if kind.startswith("application/json") else data.decode(errors="replace")

    def raw(self, path: str, seconds: float = _SECONDS) -> bytes:
        """The bytes of an answer that is not JSON."""
        with self._answer("GET", path, seconds) as answer:
            data = answer.read()
        if answer.status >= 300:
            raise _refused(answer, data)
        return data

    def lines(
        self, path: str, seconds: float, params: Mapping[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The lines of an NDJSON answer as they arrive."""
        with self._answer("GET", path, seconds, params) as answer:
            if answer.status >= 300:
                raise _refused(answer, answer.read())
            yield from map(_load, answer)

    def pages(self, limit: int | None = None, **filters: Any) -> Iterator[dict[str, Any]]:
        """Every rule that matches, or at least the first `limit`, page by page.

        The next page is fetched while the caller uses the one before.
        """
        from concurrent.futures import ThreadPoolExecutor  # imported late: the import takes 10 ms

        parameters = {"limit": min(limit or PAGE, PAGE), **filters}
        query = {name: value for name, value in parameters.items() if value is not None}
        fetch = partial(self.call, "GET", "/v1/rules")
        with ThreadPoolExecutor(1) as pool:
            page, count = fetch(params=query), 0
            while page["next"] is not None:
                count += len(page["rules"])
                if limit and count >= limit:
                    break
                coming = pool.submit(fetch, params=query | {"cursor": page["next"]})
                yield from page["rules"]
                page = coming.result()
            yield from page["rules"]

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        seconds: float,
        params: Mapping[str, Any] | None = None,
        value: Any = None,
        content: Body | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[HTTPResponse]:
        """The answer, to be read in the block; Unreachable if it is incomplete or late."""
        where = self.url or str(self.socket)
        try:
            with closing(self._connection(seconds)) as connection:
                head = {**self._headers(), **(headers or {})}
                if value is not None:
                    head["Content-Type"], content = "application/json", json.dumps(value).encode()
                query = self._stated(method) | dict(params or {})
                _send(connection, method, self._target(path, query), content, head)
                yield connection.getresponse()
        except KeyboardInterrupt:
            done = _maybe_done(method, path) or "; nothing was changed"
            raise Interrupted(f"interrupted before the answer came{done}") from None
        except TimeoutError:
            slow = f"{where} did not answer in {seconds:g} s{_maybe_done(method, path)}"
            raise Unreachable(slow) from None
        except (OSError, HTTPException) as error:
            lost = f"the connection to {where} failed: {error or repr(error)}"
            raise Unreachable(lost + _maybe_done(method, path)) from None
        except (UnicodeError, ValueError) as error:
            raise Unreachable(f"this cannot be sent to {where}: {error}") from None

    def _connection(self, seconds: float) -> HTTPConnection:
        if not self.url:
            return _UnixConnection(self.socket, seconds)
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("give a URL as https://HOST:PORT")
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        return kind(parts.hostname, parts.port, timeout=seconds)

    def _target(self, path: str, params: Mapping[str, Any] | None) -> str:
        prefix = urlsplit(self.url).path.rstrip("/") if self.url else ""
        known = {name: _text(value) for name, value in (params or {}).items() if value is not None}
        return prefix + path + (f"?{urlencode(known, doseq=True)}" if known else "")

    def _stated(self, method: str) -> dict[str, Any]:
        """The query parameters of a change; a GET has none, because the API would refuse them."""
        if method == "GET":
            return {}
        return {name: value for name, value in self.stated.items() if value}

    def _headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}
        if self.node:
            headers[NODE_HEADER] = self.node
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        client = ssh_logins.own()
        if client:  # so that the lock-out guard protects the user's address (RFC 7239)
            headers["Forwarded"] = "for=" + (f'"[{client}]"' if ":" in client else client)
        return headers


def _send(
    connection: HTTPConnection,
    method: str,
    target: str,
    content: Body | None,
    headers: Mapping[str, str],
) -> None:
    connection.connect()
    # the control plane may refuse, and close, before it has read the whole body; read its answer
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.request(method, target, content, headers)


def _text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _load(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise Unreachable(f"the answer is not JSON: {error}") from None


def _refused(answer: HTTPResponse, data: bytes) -> Refused:
    try:
        problem = json.loads(data)
        if not isinstance(problem, dict):
            raise ValueError("not a problem document")
    except ValueError:
        problem = {"detail": data.decode(errors="replace")[:500], "status": answer.status}
    return Refused(problem)


def _maybe_done(method: str, path: str) -> str:
    """A sentence to add if a change was sent but its answer did not arrive."""
    if method == "GET":
        return ""
    if path == "/v1/rules/bulk":
        return ". A part may have been imported: see `xdpctl history`, and undo it by its number"
    look = "xdpctl set list" if path.startswith("/v1/sets/") else "xdpctl audit"
    return f". The change may have been made, or may still be: check with `{look}`"


def chunks(path: Path, progress: Callable[[int], None]) -> Iterator[bytes]:
    """A file in pieces; `progress` is called with the bytes of each."""
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece
            progress(len(piece))
