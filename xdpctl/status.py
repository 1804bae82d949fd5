"""The loader's word to the control plane, in a file: its ports, and what to protect."""

import json
import logging
import os
import time
from pathlib import Path

from xdpctl import links
from xdpctl.config import Settings
from xdpctl.loader import Loader

_PROTECT_SECONDS = 30.0  # addresses and routes are also looked at after every event
_REMEMBERED_SECONDS = 120.0
log = logging.getLogger("xdpctl.run")


class Status:
    """At boot rules are back before the network is, so what was protected before stays protected
    until addresses and gateways have had time to come.
    """

    def __init__(self, settings: Settings, loader: Loader) -> None:
        self._path = settings.loader_status
        self._loader = loader
        self._find = settings.protect_found
        self._before = _found_before(self._path) if self._find else {}
        self._forget_at = time.monotonic() + _REMEMBERED_SECONDS
        self._protect: dict[str, str] = {}
        self._look_at = 0.0
        self._written = ""

    def look_soon(self) -> None:
        """An address or link changed."""
        self._look_at = 0.0

    def write(self) -> None:
        """Replace the file if anything differs; a full disk must not stop the loader."""
        if self._find and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _PROTECT_SECONDS
            if time.monotonic() >= self._forget_at:
                self._before = {}
            found = {str(p): why for p, why in sorted(links.to_protect().items())}
            self._protect = {**self._before, **found}
        ports = {
            port.name: {"state": port.state, "mode": port.mode, "detail": port.detail}
            for port in self._loader.ports.values()
        }
        text = json.dumps({"pid": os.getpid(), "ports": ports, "protect": self._protect})
        if text == self._written and self._path.exists():
            return
        try:
            fresh = self._path.with_suffix(".new")
            fresh.write_text(text)
            fresh.chmod(0o644)
            fresh.replace(self._path)
            self._written = text
        except OSError as error:
            log.error("cannot write %s: %s", self._path, error.strerror)


def _found_before(path: Path) -> dict[str, str]:
    """What an earlier process protected; nothing if it left no word."""
    try:
        found = json.loads(path.read_text())["protect"]
        return {str(prefix): str(why) for prefix, why in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
