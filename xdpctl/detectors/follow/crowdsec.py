# SPDX-License-Identifier: GPL-2.0-or-later
"""CrowdSec's local API: a bouncer that pulls decisions, all of them first, then what changed."""

import logging
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from xdpctl import __version__
from xdpctl.errors import ConfigError

_SECONDS = 30.0
# pulls after which all decisions are asked for again: a delta may have been lost, or some of
# them refused
_RESYNC, _SOON = 360, 6
_PIECE = 2_000  # decisions that are handed on at once
log = logging.getLogger("xdpctl.follow")


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API is, and who we are there: a key, or a certificate of CrowdSec's authority.

    Decisions about countries and autonomous systems are asked for if we want `places`.
    """

    lapi: str
    key: str = ""
    certificate: Path | None = None
    private_key: Path | None = None
    ca: Path | None = None
    places: bool = False

    def query(self, startup: bool) -> dict[str, str]:
        """Of the stream, which leaves out all but addresses and ranges unless it is asked."""
        scopes = {"scopes": "ip,range,country,as"} if self.places else {}
        return {"startup": str(startup).lower(), **scopes}

    def session(self) -> httpx.Client:
        """ConfigError for files that are none, and for what is no address of an API."""
        if not re.fullmatch(r"https?://[^/\s]{1,300}(/\S{0,500})?", self.lapi):
            raise ConfigError(f"{self.lapi[:80]!r} is no API: write http://127.0.0.1:8080")
        headers = {"User-Agent": f"xdpctl/{__version__}"}
        if self.key:
            headers["X-Api-Key"] = self.key
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.private_key)
        except OSError as error:  # of which ssl.SSLError is one
            names = ", ".join(str(f) for f in (self.ca, self.certificate, self.private_key) if f)
            raise ConfigError(f"{names}: {error.strerror or error}") from error
        try:
            return httpx.Client(
                base_url=self.lapi,
                headers=headers,
                timeout=_SECONDS,
                verify=context,
                trust_env=False,
            )
        except (httpx.InvalidURL, UnicodeError) as error:
            raise ConfigError(f"{self.lapi[:80]!r}, or the key for it: {error}") from error


def follow(
    access: Access,
    every: float,
    give: Callable[[bytes, bool], bool | None],
    wait: Callable[[float], bool],
) -> None:
    """Until `wait(seconds)` or `give(body, whole)` says so; `whole`: all decisions are in it.

    `give` tells whether all of it was done, or None if we are to end: what was left out is asked
    for again soon. ConfigError for a key or certificate that the API does not know.
    """
    left, soon, startup = _RESYNC, _SOON, True
    with access.session() as session:
        while True:
            body = _pull(session, access.query(startup))
            if body is not None:
                taken = give(body, startup)
                if taken is None:
                    return
                left = (_RESYNC if startup else left) - 1
                if not taken:
                    left = min(left, soon)
                if startup:  # what is refused each time is not asked for each minute
                    soon = _SOON if taken else min(2 * soon, _RESYNC)
            startup = body is None or left <= 0
            if wait(every):
                return


def pieces(body: bytes) -> Iterator[bytes]:
    """The same decisions, so many at a time: those that are over first, as in the whole of it."""
    try:
        held = msgspec.json.decode(body, type=dict[str, list[msgspec.Raw] | None])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        yield body  # for the hook to tell what is wrong with it
        return
    whole = {kind: held.get(kind) or [] for kind in ("deleted", "new")}
    if not any(whole.values()):
        yield body
    for kind, decisions in whole.items():
        for at in range(0, len(decisions), _PIECE):
            yield msgspec.json.encode({kind: decisions[at : at + _PIECE]})


def _pull(session: httpx.Client, query: dict[str, str]) -> bytes | None:
    """What the stream answers; None if it does not, and then all has to be asked for again."""
    try:
        answer = session.get("/v1/decisions/stream", params=query)
    except httpx.HTTPError as error:
        log.warning("%s does not answer: %s", session.base_url, error)
        return None
    if answer.status_code in (401, 403):
        raise ConfigError(
            f"{session.base_url} does not know this key or certificate; a key is made by: "
            "cscli bouncers add xdpctl"
        )
    if not answer.is_success:
        log.warning("%s answers %d", session.base_url, answer.status_code)
        return None
    return answer.content
