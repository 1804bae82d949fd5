# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the engine answers: as configured, and as the fleet has changed since."""

import logging
import re

import msgspec

from xdpctl.base.system.owned_folder import read_file, replace_file
from xdpctl.fleet.settings import FleetSettings

_KEPT, _BYTES_MAX, _MOST = "endpoints.json", 8 << 10, 9
_ENDPOINT = re.compile(r"[\w.:\[\]-]{1,262}:[0-9]{1,5}", re.ASCII)
_decoder = msgspec.json.Decoder(list[str])
log = logging.getLogger("xdpctl.fleet")


class Endpoints:
    """`now`: the members as HOST:PORT, the configured first one first, as long as it is one.

    What the fleet says is kept beside the certificates for the next start. The configured ones come
    last if they are none: after a restore, an operator may have written where the engine is now.
    """

    def __init__(self, settings: FleetSettings) -> None:
        self._settings, self._value = settings, b""
        self.now = settings.endpoints
        path = settings.file(_KEPT)
        try:
            if path.exists():
                self._know(read_file(path, _BYTES_MAX))
        except OSError as error:
            log.warning("fleet.endpoints are used, as %s cannot be read: %s", path, error.strerror)

    def take(self, value: bytes) -> tuple[str, ...]:
        """Take over what the engine says of its members; the members now."""
        if value != self._value and self._know(value):
            path = self._settings.file(_KEPT)
            try:
                replace_file(path, value, 0o640)
            except OSError as error:
                log.warning("the engine's members are not kept: %s: %s", path, error.strerror)
        return self.now

    def _know(self, value: bytes) -> bool:
        """Use these members; False, and nothing is changed, if they cannot be read."""
        try:
            found = _decoder.decode(value)
        except (msgspec.DecodeError, RecursionError):
            found = []
        if not 0 < len(found) <= _MOST or not all(map(_ENDPOINT.fullmatch, found)):
            log.warning("what the engine says of its members cannot be read; it is left alone")
            return False
        first = self._settings.endpoints[:1]
        others = [each for each in self._settings.endpoints if each not in found]
        self.now = (*sorted(found, key=lambda each: each not in first), *others)
        self._value = value
        return True
