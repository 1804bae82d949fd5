# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps a set in step with CrowdSec's bans of countries and autonomous systems."""

import logging
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING

from xdpctl.cli.sets.geo import networks
from xdpctl.client import SLOW_SECONDS, Client, path
from xdpctl.detectors.follow.crowdsec_places import Places
from xdpctl.errors import ConfigError, Refused, RuleError, Unreachable
from xdpctl.model.names import REASON_MAX

if TYPE_CHECKING:
    from xdpctl.lists.geo import GeoDatabase

SET = "crowdsec-places"
log = logging.getLogger("xdpctl.follow")


class Choice(StrEnum):
    """What to do with packets from a banned country or autonomous system."""

    MONITOR = "monitor"
    DROP = "drop"


class PlaceSync:
    """Callable for each body of CrowdSec's stream; retries a failed PUT at the next body."""

    def __init__(self, client: Client, choice: Choice, opened: "Callable[[], GeoDatabase]") -> None:
        self._client, self._choice, self._open = client, choice, opened
        self._places, self._put = Places(), False
        self._database: GeoDatabase | None = None

    def __call__(self, body: bytes, whole: bool) -> None:
        """Read one body of the stream; PUT the set if places changed or the last PUT failed."""
        try:
            self._put &= not self._places.take(body, whole)
            if not self._put:
                self._update()
                self._put = True
        except (RuleError, ConfigError, Refused, Unreachable) as error:
            log.error("the set %s was not updated: %s", SET, error)

    def _update(self) -> None:
        named = [*self._places.countries, *self._places.asns]
        lines = b"".join(self._lines()) if named else b""
        if not lines:
            self._remove()
            return
        self._client.call(
            "PUT",
            path("sets", SET),
            seconds=SLOW_SECONDS,
            params={
                "action": "drop",
                "mode": "monitor" if self._choice is Choice.MONITOR else "enforce",
                "spare": "established",
                "format": "plain",
                "force": "true",  # it may shrink by more than half
                "reason": f"CrowdSec bans {', '.join(sorted(named))}"[:REASON_MAX],
            },
            content=lines,
            headers={"content-type": "application/octet-stream"},
        )
        log.info("the set %s has the networks of %s", SET, ", ".join(sorted(named)))

    def _lines(self) -> Iterator[bytes]:
        """The prefixes of each place, one place at a time: an unknown one is left out alone."""
        if self._database is None:
            self._database = self._open()
        for place in sorted(self._places.countries | self._places.asns):
            country = place in self._places.countries
            try:
                yield networks(self._database, [place][:country], [place][country:])
            except (RuleError, ConfigError) as error:
                log.warning("left out: %s", error)

    def _remove(self) -> None:
        try:
            self._client.call("DELETE", path("sets", SET))
            log.info("removed the set %s: no place is banned any more", SET)
        except Refused as refused:
            if refused.problem.get("status") != 404:
                raise
