# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the backstops: learns what is usual in quiet times, and brings the limits up to date.

The limits are rules without an end, so they hold if every process is dead.
"""

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from xdpctl.abi.constants import KEPT_OUT, Reason
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.periodic import PeriodicTask
from xdpctl.base.system.owned_folder import read_file, replace_file
from xdpctl.control.controller import Controller
from xdpctl.control.operations.default_limits import DefaultLimit, bring
from xdpctl.errors import RuleError, XdpctlError
from xdpctl.model.backstop import BACKSTOP, CLASSES, BackstopSettings, backstops, match_of
from xdpctl.model.rule import PRIORITY_MAX
from xdpctl.traffic.bests import Bests, Rates, rates
from xdpctl.traffic.sampler import Sampler

_SECONDS = 1.0
_RENEW_SECONDS = 600.0  # after which limits are compared, and what was learnt is written
_ANSWER_SECONDS = 30.0
_QUARANTINE_SECONDS = 600.0
_MOST = 16 << 20  # bytes of the file
_QUIET_DROPS = 0.01
log = logging.getLogger("xdpctl.backstop")


class Backstops:
    """`prefixes` are those that have limits; `path` is the file of what was learnt."""

    def __init__(
        self,
        controller: Controller,
        sampler: Sampler,
        settings: BackstopSettings,
        prefixes: Iterable[Prefix],
        path: Path,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._controller, self._sampler, self._settings = controller, sampler, settings
        self._prefixes, self._path, self._now = tuple(prefixes), path, now
        self._bests = _read(path) if settings.learn else Bests()
        self._renew_at = 0.0
        self._quarantine: deque[tuple[float, float, Rates]] = deque()
        self._beat = PeriodicTask("backstops", _SECONDS, self.step, "backstops are not kept")
        self.start = self._beat.start

    def stop(self) -> None:
        """Stop, and write what was learnt."""
        self._beat.stop()
        try:
            self._write()
        except OSError as error:
            log.warning("what backstops have learnt is lost since the last writing: %s", error)

    def step(self, monotonic: float) -> None:
        """Learn from the last second if it was quiet; bring the limits up to date at times."""
        if self._settings.learn:
            self._learn(monotonic)
        if monotonic >= self._renew_at:
            self._renew_at = monotonic + _RENEW_SECONDS
            try:
                self._write()
            finally:
                self._bring()

    def _learn(self, monotonic: float) -> None:
        """What is learnt waits a while: an attack begins before anybody knows of it."""
        incidents = self._controller.state.incidents.values()
        seen = self._sampler.window.last(_SECONDS)
        weight, reasons = seen.packets["weight"], seen.packets["reason"]
        dropped = sum(int(weight[reasons == reason].sum()) for reason in KEPT_OUT)
        if any(each.open for each in incidents) or dropped > _QUIET_DROPS * int(weight.sum()):
            self._quarantine.clear()
            return
        passed = seen.packets[reasons == Reason.NO_RULE]
        found = rates(passed, seen.seconds, self._prefixes)
        self._quarantine.append((monotonic, self._now(), found))
        while self._quarantine and self._quarantine[0][0] <= monotonic - _QUARANTINE_SECONDS:
            _, at, waited = self._quarantine.popleft()
            self._bests.add(at, waited)

    def _bring(self) -> None:
        best = self._bests.older_than_a_day(self._now())
        wanted = [
            DefaultLimit(one.match, one.rate, reason=one.reason)
            for one in backstops(self._settings, self._prefixes, best)
        ]
        if self._settings.learn:
            wanted += self._unproved({limit.match.id for limit in wanted})
        self._controller.submit(lambda draft: bring(draft, wanted, BACKSTOP, PRIORITY_MAX)).result(
            _ANSWER_SECONDS
        )

    def _unproved(self, wanted: set[str]) -> Iterator[DefaultLimit]:
        """Limits that were learnt and for which nothing is known any more: they stay."""
        possible = {match_of(p, name).id for p in self._prefixes for name in CLASSES} - wanted
        for held in self._controller.state.matches.values():
            if held.origin == BACKSTOP and held.id in possible and held.limit:
                yield DefaultLimit(held.match, held.limit, reason=held.reason)

    def _write(self) -> None:
        if self._settings.learn:
            replace_file(self._path, json.dumps(self._bests.as_json()).encode())


def _read(path: Path) -> Bests:
    """What was learnt before; nothing if there is no such file, or it is damaged."""
    try:
        return Bests.from_json(json.loads(read_file(path, _MOST)))
    except FileNotFoundError:
        return Bests()
    except (OSError, ValueError, RecursionError, RuleError, XdpctlError) as error:
        log.warning("what backstops had learnt cannot be read, and is learnt anew: %s", error)
        return Bests()
