# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions of browsers: sealed texts that a cookie holds, and one-time links to begin one.

A session of a token lasts as long as the token does, and at most twelve hours. Nothing is stored,
so a restart ends no session, and a full disk keeps nobody out.
"""

import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from itsdangerous import BadData, URLSafeSerializer

from xdpctl.base.system.owned_folder import read_file, replace_file
from xdpctl.errors import AccessError, BusyError

SECONDS = 12 * 3600
LINK_SECONDS = 120.0
_LINKS_MAX, _ENDED_MAX = 32, 10_000
_KEY_BYTES = 32
_MOST = 2048  # characters of a sealed text
log = logging.getLogger("xdpctl.api")


@dataclass(frozen=True, slots=True)
class Session:
    """Who logged in: a token by the digest of its secret, or a user of this host by name."""

    user: str = ""
    digest: str = ""


class Sessions:
    """Seals sessions with a key that is made when it is first needed."""

    def __init__(self, key: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._key, self._monotonic = key, monotonic
        self._secret: bytes | None = None
        self._links: dict[str, tuple[Session, float]] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()  # sessions that were logged out last
        self._lock = Lock()

    def begin(self, session: Session, unix: float) -> str:
        """The sealed text of a new session."""
        number = secrets.token_urlsafe(9)
        return self.seal("session", [session.user, session.digest, int(unix) + SECONDS, number])

    def open(self, text: str, unix: float) -> Session:
        """The session of a sealed text; AccessError if the text has none, or it has ended."""
        try:
            user, digest, ends, number = self.unseal("session", text)
        except ValueError as error:
            raise AccessError("the session is not valid: log in again") from error
        if unix >= ends or number in self._ended:
            raise AccessError("the session has ended: log in again")
        return Session(user, digest)

    def end(self, text: str) -> None:
        """Log a session out. It is remembered until this process ends."""
        try:
            _, _, _, number = self.unseal("session", text)
        except ValueError:
            return  # the text has no session
        with self._lock:
            self._ended[number] = None
            while len(self._ended) > _ENDED_MAX:
                self._ended.popitem(last=False)

    def link(self, session: Session) -> str:
        """A code by which a browser logs in once, within two minutes. BusyError for too many."""
        now = self._monotonic()
        with self._lock:
            self._links = {code: link for code, link in self._links.items() if link[1] > now}
            if len(self._links) >= _LINKS_MAX:
                raise BusyError(f"{_LINKS_MAX} links wait to be opened: ask again in a minute")
            code = secrets.token_urlsafe(24)
            self._links[code] = session, now + LINK_SECONDS
        return code

    def follow(self, code: str) -> Session:
        """The session of a link, which is valid once; AccessError if there is none."""
        with self._lock:
            session, until = self._links.pop(code, (None, 0.0))
        if session is None or until <= self._monotonic():
            raise AccessError("the link is used up or too old: run xdpctl dashboard again")
        return session

    def seal(self, purpose: str, value: Any) -> str:
        """A value as text that nobody else can make, for one purpose."""
        text = URLSafeSerializer(self._sealing_key(), salt=purpose).dumps(value)
        return text if isinstance(text, str) else text.decode()

    def unseal(self, purpose: str, text: str) -> Any:
        """The value of a sealed text; ValueError if it was not sealed here for this purpose."""
        if len(text) > _MOST:
            raise ValueError("too long")
        try:
            return URLSafeSerializer(self._sealing_key(), salt=purpose).loads(text)
        except BadData as error:
            raise ValueError(str(error)) from error

    def _sealing_key(self) -> bytes:
        with self._lock:
            if self._secret is None:
                self._secret = _read_or_make(self._key)
            return self._secret


def _read_or_make(path: Path) -> bytes:
    """The key in a file; a new one if there is none, which is kept if the disk has room."""
    try:
        key = read_file(path, _KEY_BYTES)
        if len(key) == _KEY_BYTES:
            return key
        log.warning("%s is damaged: everybody has to log in again", path)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("%s cannot be read: everybody has to log in again: %s", path, error)
    key = secrets.token_bytes(_KEY_BYTES)
    try:
        replace_file(path, key)
    except OSError as error:
        log.warning("sessions end with this process, because %s cannot be kept: %s", path, error)
    return key
