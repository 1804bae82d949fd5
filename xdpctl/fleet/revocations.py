# SPDX-License-Identifier: GPL-2.0-or-later
"""The revoked nodes. They are stored on this node, too: it may restart while the engine is away.

Where this host runs etcd, its list of revoked certificates is updated as well.
"""

import os

import msgspec

from xdpctl.base.system.owned_folder import read_file, replace_file, rewrite_file
from xdpctl.errors import ConfigError
from xdpctl.fleet.authority.certificates import revoked_serials
from xdpctl.fleet.settings import FleetSettings

_BYTES_MAX = 1 << 20
_KEPT = "revoked.json"  # in the folder of the certificates


class Revoked(msgspec.Struct, frozen=True):
    """The names of nodes that were revoked, and the list of their certificates (CRL, PEM)."""

    names: list[str]
    crl: str


_decoder = msgspec.json.Decoder(Revoked)


class Revocations:
    """The revoked nodes of a fleet; `problem` says why the list is not up to date."""

    def __init__(self, settings: FleetSettings) -> None:
        self._settings, self._value = settings, b""
        self._names: frozenset[str] = frozenset()
        self._serials: frozenset[int] = frozenset()
        self._number = 0  # number of the list: a lower number means an older list
        self.problem = ""

    def load(self) -> None:
        """Read the list that was stored before this start."""
        path = self._settings.file(_KEPT)
        try:
            if path.exists():
                self._value = read_file(path, _BYTES_MAX)
                self._know(_decoder.decode(self._value))
        except (msgspec.DecodeError, OSError, ConfigError) as error:
            self.problem = f"the revoked nodes are not known until the engine answers: {error}"

    def take(self, value: bytes) -> None:
        """Take over the engine's list; the one before stays if it cannot be read.

        A list that the authority did not sign is not taken over.
        """
        if value == self._value and not self.problem:
            return
        try:
            revoked = _decoder.decode(value)
            crl = revoked.crl.encode()
            self._know(revoked)
            replace_file(self._settings.file(_KEPT), value, 0o640)
            if (crl_path := self._settings.revoked_list) is not None:
                rewrite_file(crl_path, crl, os.geteuid())
        except (msgspec.DecodeError, OSError, ConfigError) as error:
            self.problem = f"the list of revoked nodes is not taken over: {error}"
            return
        self._value, self.problem = value, ""

    def revoked(self, name: str, serial: int) -> bool:
        """Whether a node, or its certificate with that serial number, was revoked."""
        return name in self._names or serial in self._serials

    def _know(self, revoked: Revoked) -> None:
        """Use this list from now on; ConfigError unless the authority signed it."""
        ca = self._settings.file("ca.crt")
        if ca.exists():
            data = read_file(ca, _BYTES_MAX)
            number, serials = revoked_serials(revoked.crl.encode(), data)
            if number < self._number:
                raise ConfigError("it is older than the one that this node has")
            self._number, self._serials = number, serials
        self._names = frozenset(revoked.names)
