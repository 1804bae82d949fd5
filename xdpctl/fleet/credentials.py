# SPDX-License-Identifier: GPL-2.0-or-later
"""This node's certificate: read for each connection, renewed from the engine, and watched."""

import socket
import time
from contextlib import suppress
from typing import Any

import grpc

from xdpctl.base.system.owned_folder import read_file, replace_file
from xdpctl.errors import ConfigError
from xdpctl.fleet import keys
from xdpctl.fleet.authority.certificates import certificate_of, fits, unit
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.intent import STATES
from xdpctl.fleet.settings import FleetSettings, host_of

CA, CERTIFICATE, KEY = "ca.crt", "node.crt", "node.key"
_BYTES_MAX = 64 << 10
_SOON_SECONDS = 21 * 86_400.0


class Credentials:
    """The files in `fleet.certificates`; without them, the engine is reached in clear text."""

    def __init__(self, settings: FleetSettings) -> None:
        self._settings = settings
        self._problem = ""

    @property
    def secure(self) -> bool:
        """Whether there are certificates. True if this user cannot read them: `load` says so."""
        try:
            return self._settings.file(CA).exists()
        except PermissionError:
            return True

    def load(self) -> Any:
        """Credentials for gRPC; None without certificates. OSError if a file cannot be read."""
        if not self.secure:
            return None
        ca, certificate, key = (
            read_file(self._settings.file(name), _BYTES_MAX) for name in (CA, CERTIFICATE, KEY)
        )
        return grpc.ssl_channel_credentials(ca, key, certificate)

    def serving(self) -> Any:
        """Credentials of a gRPC server, which asks for certificates of the fleet. OSError."""
        names = (KEY, CERTIFICATE, CA)
        key, certificate, ca = (read_file(self._settings.file(n), _BYTES_MAX) for n in names)
        return grpc.ssl_server_credentials([(key, certificate)], ca, True)

    def expires(self) -> float:
        """Unix time at which the certificate ends; 0 if there is none."""
        if not self.secure:
            return 0.0
        try:
            data = read_file(self._settings.file(CERTIFICATE), _BYTES_MAX)
            return certificate_of(data).not_valid_after_utc.timestamp()
        except (OSError, ConfigError):
            return 0.0

    def states(self) -> bool:
        """Whether this node's certificate allows it to publish intents; True without one."""
        if not self.secure:
            return True
        try:
            data = read_file(self._settings.file(CERTIFICATE), _BYTES_MAX)
            return unit(certificate_of(data)) == STATES
        except (OSError, ConfigError):
            return True  # the engine decides

    def address(self) -> str:
        """Where other nodes reach this one, as HOST:PORT; "" if they cannot."""
        port = self._settings.port
        return f"{host_of(self.host())}:{port}" if port else ""

    def host(self) -> str:
        """The first address of the certificate; this host's name without one."""
        host = socket.gethostname()
        if self.secure:
            with suppress(OSError, ConfigError):
                host = fits(read_file(self._settings.file(CERTIFICATE), _BYTES_MAX)) or host
        return host

    def warnings(self) -> list[str]:
        """What an operator has to do about the certificate."""
        warnings = [self._problem] if self._problem else []
        ends = self.expires()
        left = ends - time.time()
        if ends and left < 0:
            warnings.append(
                "this node's certificate has expired, so the fleet does not answer it. On the node "
                "with the authority: xdpctl fleet renew; then copy its certificate here"
            )
        elif ends and left < _SOON_SECONDS:
            warnings.append(
                f"this node's certificate expires in {left / 86_400:.0f} days. On the node with "
                "the authority: xdpctl fleet renew"
            )
        return warnings

    def renew(self, engine: Engine) -> bool:
        """Install the renewed certificate that the engine has for this node, if there is one.

        It must be of the same authority, name and key. Returns whether one was installed.
        """
        if not self.secure:
            return False
        renewed = engine.get(keys.CERTIFICATES + self._settings.name)
        path = self._settings.file(CERTIFICATE)
        if renewed is None or renewed.value is None or len(renewed.value) > _BYTES_MAX:
            return False
        try:
            if renewed.value == read_file(path, _BYTES_MAX):
                return False
            ca, key = (read_file(self._settings.file(n), _BYTES_MAX) for n in (CA, KEY))
            certificate_of(renewed.value, ca, key, self._settings.name)
            replace_file(path, renewed.value, 0o644)
        except (OSError, ConfigError) as error:
            self._problem = f"the renewed certificate is not installed: {error}"
            return False
        self._problem = ""
        return True
