# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's endpoints: the configured ones, and those that the fleet has published since."""

import hashlib
import logging
import re
from collections.abc import Iterable

import msgspec

from xdpctl.base.system.owned_folder import read_file, replace_file
from xdpctl.fleet.settings import FleetSettings

_KEPT, _BYTES_MAX = "endpoints.json", 64 << 10
_MEMBERS_MOST, _RELAYS_MOST = 9, 200
_ENDPOINT = re.compile(r"[\w.:\[\]-]{1,262}:[0-9]{1,5}", re.ASCII)
_decoder = msgspec.json.Decoder(list[str])
log = logging.getLogger("xdpctl.fleet")


def spread(name: str, endpoints: Iterable[str]) -> tuple[str, ...]:
    """The endpoints in the order in which the node `name` uses them (rendezvous hashing)."""

    def weight(endpoint: str) -> bytes:
        return hashlib.blake2b(f"{name} {endpoint}".encode(), digest_size=8).digest()

    return tuple(sorted(endpoints, key=weight))


class Endpoints:
    """`now` has the members as HOST:PORT: the configured ones in their order, then others in an
    order of this node's own, so that nodes spread over the members.

    The published members are stored beside the certificates for the next start. Configured
    endpoints that are no members come last: after a restore, an operator may have written there
    where the engine is now. A node behind relays uses those of its configured ones that the fleet
    has published, and knows no members.
    """

    def __init__(self, settings: FleetSettings) -> None:
        self._settings, self._value = settings, b""
        self.now = settings.endpoints
        path = settings.file(_KEPT)
        try:
            if path.exists():
                self._know(read_file(path, _BYTES_MAX))
        except OSError as error:
            log.warning(
                "fleet.endpoints is used, because %s cannot be read: %s", path, error.strerror
            )

    @property
    def relays(self) -> bool:
        """Whether these are relays."""
        return self._settings.behind_relays

    @property
    def members(self) -> tuple[str, ...]:
        """Where members answer this node: nowhere, if relays do."""
        return () if self.relays else self.now

    def take(self, value: bytes) -> tuple[str, ...]:
        """Take over the engine's list of members, or of relays; return the endpoints to use."""
        if value != self._value and self._know(value):
            path = self._settings.file(_KEPT)
            try:
                replace_file(path, value, 0o640)
            except OSError as error:
                log.warning("the engine's members are not stored: %s: %s", path, error.strerror)
        return self.now

    def _know(self, value: bytes) -> bool:
        """Use these members. Returns False and changes nothing if they cannot be read."""
        try:
            members = _decoder.decode(value)
        except (msgspec.DecodeError, RecursionError):
            members = []
        most = _RELAYS_MOST if self.relays else _MEMBERS_MOST
        if not 0 < len(members) <= most or not all(map(_ENDPOINT.fullmatch, members)):
            log.warning("the list of members or relays cannot be read, and is ignored")
            return False
        self._value, configured = value, self._settings.endpoints
        if self.relays:
            self.now = tuple(each for each in configured if each in members) or configured
            return True
        place = {endpoint: number for number, endpoint in enumerate(configured)}
        spread_out = spread(self._settings.name, members)
        others = [endpoint for endpoint in configured if endpoint not in members]
        last = len(configured)
        self.now = (*sorted(spread_out, key=lambda each: place.get(each, last)), *others)
        return True
