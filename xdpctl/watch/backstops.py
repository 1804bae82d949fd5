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
from xdpctl.model.rule import OF_BACKSTOPS
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
            log.warning("what backstops have learnt since the last write is lost: %s", error)

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
        """Learn rates only after a delay, since an attack begins before it is noticed."""
        incidents = self._controller.state.incidents.values()
        sample = self._sampler.window.last(_SECONDS)
        weight, reasons = sample.packets["weight"], sample.packets["reason"]
        dropped = sum(int(weight[reasons == reason].sum()) for reason in KEPT_OUT)
        if any(incident.open for incident in incidents) or dropped > _QUIET_DROPS * int(
            weight.sum()
        ):
            self._quarantine.clear()
            return
        passed = sample.packets[reasons == Reason.NO_RULE]
        measured = rates(passed, sample.seconds, self._prefixes)
        self._quarantine.append((monotonic, self._now(), measured))
        while self._quarantine and self._quarantine[0][0] <= monotonic - _QUARANTINE_SECONDS:
            _, at, waited = self._quarantine.popleft()
            self._bests.add(at, waited)

    def _bring(self) -> None:
        best = self._bests.older_than_a_day(self._now())
        limits = [
            DefaultLimit(backstop.match, backstop.rate, reason=backstop.reason)
            for backstop in backstops(self._settings, self._prefixes, best)
        ]
        if self._settings.learn:
            limits += self._unproved({limit.match.id for limit in limits})
        self._controller.submit(lambda draft: bring(draft, limits, BACKSTOP, OF_BACKSTOPS)).result(
            _ANSWER_SECONDS
        )

    def _unproved(self, proven: set[str]) -> Iterator[DefaultLimit]:
        """Learnt limits in force for which no measurement is left: they stay in force."""
        possible = {match_of(p, name).id for p in self._prefixes for name in CLASSES} - proven
        for rule in self._controller.state.matches.values():
            if rule.origin == BACKSTOP and rule.id in possible and rule.limit:
                yield DefaultLimit(rule.match, rule.limit, reason=rule.reason)

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
        log.warning("what backstops have learnt cannot be read, and is learnt anew: %s", error)
        return Bests()
