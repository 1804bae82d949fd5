# SPDX-License-Identifier: GPL-2.0-or-later
"""A bouncer for CrowdSec's local API, which gets all decisions first and then the changes."""

import logging
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from xdpctl import __version__
from xdpctl.detectors import checked
from xdpctl.detectors.formats.crowdsec import PLACES
from xdpctl.errors import ConfigError, RuleError

_SECONDS = 30.0
# Number of pulls after which all decisions are requested again, since a change may have been lost:
# normally, and after some decisions were refused.
_RESYNC, _SOON = 360, 6
_PIECE = 2_000  # maximum number of decisions in one body
log = logging.getLogger("xdpctl.follow")


@dataclass(frozen=True, slots=True)
class Access:
    """The address of the API, and a key or a client certificate to authenticate with.

    `places` requests decisions about countries and autonomous systems, too.
    """

    lapi: str
    key: str = ""
    certificate: Path | None = None
    private_key: Path | None = None
    ca: Path | None = None
    places: bool = False

    def query(self, startup: bool) -> dict[str, str]:
        """The query of the stream; it has only addresses and ranges unless scopes are given."""
        scopes = {"scopes": "ip,range,country,as"} if self.places else {}
        return {"startup": str(startup).lower(), **scopes}

    def session(self) -> httpx2.Client:
        """A client for the API; ConfigError if its address or one of the files is not valid."""
        if not re.fullmatch(r"https?://[^/\s]{1,300}(/\S{0,500})?", self.lapi):
            raise ConfigError(
                f"{self.lapi[:80]!r} is not the address of an API: write http://127.0.0.1:8080"
            )
        headers = {"User-Agent": f"xdpctl/{__version__}"}
        if self.key:
            headers["X-Api-Key"] = self.key
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.private_key)
        except OSError as error:  # includes ssl.SSLError
            names = ", ".join(str(f) for f in (self.ca, self.certificate, self.private_key) if f)
            raise ConfigError(f"{names}: {error.strerror or error}") from error
        try:
            return httpx2.Client(
                base_url=self.lapi,
                headers=headers,
                timeout=_SECONDS,
                verify=context,
                trust_env=False,
            )
        except (httpx2.InvalidURL, UnicodeError) as error:
            raise ConfigError(f"{self.lapi[:80]!r}, or its key, is not valid: {error}") from error


def follow(
    access: Access,
    every: float,
    give: Callable[[bytes, bool], bool | None],
    wait: Callable[[float], bool],
) -> None:
    """Pull decisions every `every` seconds and pass each body on to `give(body, whole)`.

    `whole` says that the body has all decisions. `give` returns whether all were applied (if not,
    all are requested again soon), or None to end. Ends also when `wait(seconds)` returns True.
    ConfigError if the API does not accept the key or certificate.
    """
    left, soon, startup = _RESYNC, _SOON, True
    with access.session() as session:
        while True:
            body = _pull(session, access.query(startup))
            if body is not None:
                applied = give(body, startup)
                if applied is None:
                    return
                left = (_RESYNC if startup else left) - 1
                if not applied:
                    left = min(left, soon)
                if startup:  # back off while some decisions are refused each time
                    soon = _SOON if applied else min(2 * soon, _RESYNC)
            startup = body is None or left <= 0
            if wait(every):
                return


def pieces(body: bytes) -> Iterator[bytes]:
    """The same decisions in bodies with at most 2,000 each, the deleted ones first."""
    try:
        stream = msgspec.json.decode(body, type=dict[str, list[msgspec.Raw] | None])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        yield body  # the hook reports what is wrong with the body
        return
    whole = {kind: stream.get(kind) or [] for kind in ("deleted", "new")}
    if not any(whole.values()):
        yield body
    for kind, decisions in whole.items():
        for at in range(0, len(decisions), _PIECE):
            yield msgspec.json.encode({kind: decisions[at : at + _PIECE]})


def _pull(session: httpx2.Client, query: dict[str, str]) -> bytes | None:
    """The stream's answer; None without one, and then all decisions must be requested again."""
    try:
        answer = session.get("/v1/decisions/stream", params=query)
    except httpx2.HTTPError as error:
        log.warning("%s does not answer: %s", session.base_url, error)
        return None
    if answer.status_code in (401, 403):
        raise ConfigError(
            f"{session.base_url} does not accept this key or certificate; create a key with: "
            "cscli bouncers add xdpctl"
        )
    if not answer.is_success:
        log.warning("%s answers with status %d", session.base_url, answer.status_code)
        return None
    return answer.content


class Places:
    """The countries and ASes that are banned, from the bodies of the stream (see `take`)."""

    def __init__(self) -> None:
        self._banned: dict[tuple[str, str], set[object]] = {}

    @property
    def countries(self) -> frozenset[str]:
        """The country codes that are banned."""
        return frozenset(value for kind, value in self._banned if kind == "country")

    @property
    def asns(self) -> frozenset[str]:
        """The AS numbers that are banned, as `AS64500`."""
        return frozenset(value for kind, value in self._banned if kind == "asn")

    def take(self, body: bytes, whole: bool) -> bool:
        """Apply a body of the stream; return whether the banned countries or ASes changed.

        `whole` says that the body has all decisions, and not only changes. RuleError if it is not
        an answer of the stream; nothing is changed then.
        """
        stream = checked.table(checked.document(body), "the body")
        gone = [_place(decision) for decision in checked.listed(stream.get("deleted"), "deleted")]
        new = [_place(decision) for decision in checked.listed(stream.get("new"), "new")]
        before = self._banned.keys() | set()
        if whole:
            self._banned.clear()
        for place, number in filter(None, gone):
            numbers = self._banned.get(place, set())
            numbers.discard(number)
            if not numbers:
                self._banned.pop(place, None)
        for place, number in filter(None, new):
            self._banned.setdefault(place, set()).add(number)
        return self._banned.keys() != before


def _place(decision: Any) -> tuple[tuple[str, str], object] | None:
    """The country or AS of a ban, and the decision's number; None for any other decision."""
    if not isinstance(decision, dict):
        raise RuleError("a decision is not an object", "new", "send the answer of the stream")
    kind = PLACES.get(str(decision.get("scope", "")).lower())
    if kind is None or decision.get("type") != "ban":
        return None
    value, number = str(decision.get("value", ""))[:64].strip().upper(), decision.get("id")
    if not isinstance(number, int | str | None):
        raise RuleError("a decision's id is not a number", "id", "send the answer of the stream")
    return (kind, value), number
