# SPDX-License-Identifier: GPL-2.0-or-later
"""The CLI's way to the control plane: its Unix socket, or a URL with a token."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from xdpctl.base.system import ssh_sessions
from xdpctl.errors import Refused, Unreachable

_SECONDS = 30.0
SLOW_SECONDS = 150.0  # a fetch takes a minute at most, a large list some time to be put
_KNOCK_SECONDS = 1.0
_CHUNK = 1 << 16


def path(*parts: str) -> str:
    """A path of v1, in which no part becomes two or a query."""
    return "/".join(("/v1", *(quote(part, safe=":") for part in parts)))


@dataclass(slots=True)
class Client:
    """One control plane; every call answers with the JSON body or raises."""

    socket: Path
    url: str | None = None
    token: str | None = None

    def _open(self, seconds: float) -> httpx.Client:
        headers = {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        client = ssh_sessions.own()
        if client:  # so that the lock-out guard knows whom not to cut off (RFC 7239)
            headers["Forwarded"] = "for=" + (f'"[{client}]"' if ":" in client else client)
        if self.url:
            return httpx.Client(base_url=self.url, headers=headers, timeout=seconds)
        transport = httpx.HTTPTransport(uds=str(self.socket))
        base = "http://xdpctl"
        return httpx.Client(transport=transport, base_url=base, headers=headers, timeout=seconds)

    def call(self, method: str, path: str, seconds: float = _SECONDS, **more: Any) -> Any:
        """One request; Refused or Unreachable if it does not succeed within so many seconds."""
        with self._asking(method, path, seconds) as session:
            answer = session.request(method, path, **more)
        if answer.is_success or (path == "/readyz" and answer.status_code == 503):
            kind = answer.headers.get("content-type", "")
            return answer.json() if kind.startswith("application/json") else answer.text
        raise _refused(answer)

    def raw(self, path: str, seconds: float = _SECONDS) -> bytes:
        """The bytes of what is no JSON."""
        with self._asking("GET", path, seconds) as session:
            answer = session.get(path)
        if not answer.is_success:
            raise _refused(answer)
        return answer.content

    def lines(self, path: str, seconds: float, **more: Any) -> Iterator[dict[str, Any]]:
        """The lines of an NDJSON answer as they come."""
        with (
            self._asking("GET", path, seconds) as session,
            session.stream("GET", path, **more) as answer,
        ):
            if not answer.is_success:
                answer.read()
                raise _refused(answer)
            yield from map(json.loads, answer.iter_lines())

    @contextmanager
    def _asking(self, method: str, path: str, seconds: float) -> Iterator[httpx.Client]:
        """A session; Unreachable if what is done with it fails or takes too long."""
        where = self.url or str(self.socket)
        if not self.url:
            self._knock()
        try:
            with self._open(seconds) as session:
                yield session
        except httpx.TimeoutException:
            said = f"{where} did not answer in {seconds:g} s{_perhaps(method, path)}"
            raise Unreachable(said) from None
        except httpx.TransportError as error:
            said = f"{where} broke off: {error}{_perhaps(method, path)}"
            raise Unreachable(said) from None

    def _knock(self) -> None:
        """Tell a closed door from a locked one, which httpx does not."""
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(_KNOCK_SECONDS)  # a full backlog would hold us up for ever
            try:
                door.connect(str(self.socket))
            except PermissionError:
                raise Unreachable(
                    f"you may not open {self.socket}; use sudo, or join the group xdpctl"
                ) from None
            except OSError as error:
                raise Unreachable(
                    f"nothing answers on {self.socket} ({error.strerror}). Is `xdpctl run` "
                    "running? What it put into the kernel filters all the same."
                ) from None

    def pages(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """Every rule that matches, page by page."""
        cursor = None
        while True:
            query = {k: v for k, v in {**filters, "cursor": cursor}.items() if v is not None}
            page = self.call("GET", "/v1/rules", params={"limit": 1000, **query})
            yield from page["rules"]
            cursor = page["next"]
            if cursor is None:
                return


def _refused(answer: httpx.Response) -> "Refused":
    try:
        problem = answer.json()
    except ValueError:
        problem = {"detail": answer.text[:500], "status": answer.status_code}
    return Refused(problem)


def _perhaps(method: str, path: str) -> str:
    """What to know of a change whose answer did not come."""
    if method == "GET":
        return ""
    look = "xdpctl set list" if path.startswith("/v1/sets/") else "xdpctl audit log"
    return f". It may be done all the same, or be done yet: look with `{look}`"


def chunks(path: Path, progress: Callable[[int], None]) -> Iterator[bytes]:
    """A file in pieces, telling how many bytes were handed on."""
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece
            progress(len(piece))
