# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes the loader's report for the control plane: its interfaces, and what to protect."""

import json
import logging
import os
import time
from collections.abc import Mapping

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.base.system import ssh_logins
from xdpctl.base.system.owned_folder import Owned
from xdpctl.config.settings import Settings
from xdpctl.datapath.loader import neighbours
from xdpctl.datapath.loader.loader import Loader
from xdpctl.doctor import host as doctor
from xdpctl.errors import ConfigError, RuleError

NAME = "status.json"
BEAT_SECONDS = 5.0  # after which the file is rewritten even if nothing changed
_PROTECT_SECONDS = 30.0  # addresses and routes are also read after every event
_REMEMBERED_SECONDS = 120.0
_EXAMINE_SECONDS, _SOON_SECONDS = 300.0, 3.0
_FINDINGS_MAX = 200
_MOST, _PREFIXES_MAX, _WHY_MAX = 1 << 20, 10_000, 200
log = logging.getLogger("xdpctl.run")


class Status:
    """The loader's report, in a file that only root writes.

    At boot, rules are in force before the network is up. So prefixes that were protected before
    stay protected until addresses and gateways have had time to appear.
    """

    def __init__(self, settings: Settings, loader: Loader) -> None:
        self._folder = Owned(settings.loader_dir)
        self._settings, self._loader = settings, loader
        self._find = settings.protect_found
        self._before = _protected_before(self._folder) if self._find else {}
        self._forget_at = time.monotonic() + _REMEMBERED_SECONDS
        self._protect: dict[str, str] = {}
        self._look_at = 0.0
        self._outside = settings.outside_interfaces
        self._logins: list[str] = []
        self._on_link: list[str] = []
        self._logins_at = 0.0
        self._findings: list[dict[str, str]] = []
        self._states: list[str] = []  # of the interfaces
        self._examine_at = 0.0
        self._written = ""
        self._beat_at = 0.0

    def close(self) -> None:
        self._folder.close()

    def look_soon(self) -> None:
        """Read addresses and gateways at the next write: one of them may have changed."""
        self._look_at = 0.0

    def write(self) -> None:
        """Replace the file if anything changed, and every `BEAT_SECONDS`.

        An error is logged: a full disk must not stop the loader.
        """
        now = time.monotonic()
        report = self._report(now)
        text = json.dumps(report)
        if text == self._written and now < self._beat_at:
            return
        try:
            data = json.dumps(report | {"beat": now}).encode()
            self._folder.replace(NAME, data, 0o644, durable=text != self._written)
            self._written, self._beat_at = text, now + BEAT_SECONDS
        except OSError as error:
            log.error("cannot write %s: %s", self._folder.path / NAME, error.strerror)

    def _report(self, now: float) -> dict[str, object]:
        """The report; reads the parts that are too old again."""
        if self._find and now >= self._look_at:
            self._look_at = now + _PROTECT_SECONDS
            if now >= self._forget_at:
                self._before = {}
            protect = {str(p): why for p, why in sorted(neighbours.to_protect().items())}
            self._protect = {**self._before, **protect}
        names = (
            *("state", "mode", "detail", "taken_off", "outside"),
            *("teaches", "teaches_not", "mac", "indexes", "vrf"),
        )
        ports = {
            port.name: {name: getattr(port, name) for name in names}
            for port in self._loader.ports.values()
        }
        if now >= self._logins_at:
            self._logins_at = now + BEAT_SECONDS
            self._logins = [str(address) for address in ssh_logins.addresses()]
            self._on_link = (
                sorted(map(str, neighbours.networks(self._outside))) if self._outside else []
            )
        self._examine(ports, now)
        return {
            "pid": os.getpid(),
            "ports": ports,
            "protect": self._protect,
            "logins": self._logins,
            "on_link": self._on_link,
            "findings": self._findings,
            "modules": dict(self._loader.modules.problems) if self._loader.modules else {},
        }

    def _examine(self, ports: Mapping[str, Mapping[str, object]], now: float) -> None:
        """Run `doctor` some seconds after the state of an interface has changed, and regularly.

        It does not run at once, because the network waits for the first report.
        """
        states = [f"{name} {port['state']}" for name, port in ports.items()]
        if states != self._states:
            self._states, self._examine_at = states, now + _SOON_SECONDS
        elif now >= self._examine_at:
            self._examine_at = now + _EXAMINE_SECONDS
            findings = doctor.of_host(self._settings)
            self._findings = [finding.as_dict() for finding in findings[:_FINDINGS_MAX]]


def _protected_before(folder: Owned) -> dict[str, str]:
    """What an earlier process protected; empty without a valid report of it."""
    try:
        protected = json.loads(folder.read(NAME, _MOST))["protect"]
        pairs = list(protected.items())[:_PREFIXES_MAX]
        return {str(parse_prefix(prefix)): str(why)[:_WHY_MAX] for prefix, why in pairs}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuleError, ConfigError):
        return {}
