# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of the routes that the bridge is to announce, for its restart within the same boot."""

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from xdpctl.base.clock import Clock
from xdpctl.upstream.bgp.messages import PeerRoute


class _Kept(msgspec.Struct, frozen=True):
    """A route in the file; `until` is CLOCK_MONOTONIC, which all processes of a boot share."""

    route: PeerRoute
    until: float


class _State(msgspec.Struct, frozen=True):
    """The file: what is to be announced, in one boot."""

    boot: str
    kept: list[_Kept]


_decoder = msgspec.json.Decoder(_State)


class KeptFile:
    """The file at a path; `problem` says why it is not up to date."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._boot = Clock().read().boot
        self.problem = ""

    def write(self, wanted: Mapping[PeerRoute, float]) -> None:
        """Write the routes, and until when to announce them. If that fails, remove the file.

        Withdrawn routes must not come back from an old file.
        """
        routes = [_Kept(route, until) for route, until in wanted.items()]
        new = self._path.with_suffix(".new")
        try:
            new.write_bytes(msgspec.json.encode(_State(self._boot, routes)))
            new.replace(self._path)
            self.problem = ""
        except OSError as error:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            self.problem = f"what is announced cannot be written to {self._path}: {error}"

    def read(self) -> dict[PeerRoute, float]:
        """The routes, and for how many more seconds to announce them; none from another boot.

        ValueError or OSError if the file cannot be read.
        """
        try:
            state = _decoder.decode(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        now = time.monotonic()
        routes = state.kept if state.boot == self._boot else []
        return {route.route: route.until - now for route in routes}
