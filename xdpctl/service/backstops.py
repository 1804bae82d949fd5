# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps the backstops: learns what is usual in quiet times, and brings the limits up to date.

The limits are signatures without an end, so they hold if every process is dead.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from xdpctl.abi.constants import Reason
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.periodic import PeriodicTask
from xdpctl.base.system.owned_folder import read_file, replace_file
from xdpctl.control.controller import Controller
from xdpctl.control.operations.default_limits import DefaultLimit, bring
from xdpctl.errors import RuleError, XdpctlError
from xdpctl.model.backstop import BACKSTOP, BackstopSettings, backstops
from xdpctl.model.signature import PRIORITY_MAX
from xdpctl.traffic.bests import Bests
from xdpctl.traffic.sampler import Sampler

_SECONDS = 1.0
_RENEW_SECONDS = 600.0  # after which limits are compared, and what was learnt is written
_ANSWER_SECONDS = 30.0
_MOST = 16 << 20  # bytes of the file
_DROPS = (Reason.DROPPED, Reason.SIGNATURE, Reason.LIMITED, Reason.CHALLENGED)
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
        self._beat = PeriodicTask("backstops", _SECONDS, self.step, "backstops are not kept")
        self.start = self._beat.start

    def stop(self) -> None:
        """Stop, and write what was learnt."""
        self._beat.stop()
        self._write()

    def step(self, monotonic: float) -> None:
        """Learn from the last second if it was quiet; bring the limits up to date at times."""
        if self._settings.learn:
            self._learn()
        if monotonic >= self._renew_at:
            self._renew_at = monotonic + _RENEW_SECONDS
            self._bring()
            self._write()

    def _learn(self) -> None:
        incidents = self._controller.state.incidents.values()
        seen = self._sampler.window.last(_SECONDS)
        weight, reasons = seen.packets["weight"], seen.packets["reason"]
        dropped = sum(int(weight[reasons == reason].sum()) for reason in _DROPS)
        if any(each.open for each in incidents) or dropped > _QUIET_DROPS * int(weight.sum()):
            return
        passed = seen.packets[reasons == Reason.NO_RULE]
        self._bests.add(self._now(), seen.seconds, passed, self._prefixes)

    def _bring(self) -> None:
        best = self._bests.older_than_a_day(self._now())
        wanted = [
            DefaultLimit(one.match, one.rate, reason=one.reason)
            for one in backstops(self._settings, self._prefixes, best)
        ]
        self._controller.submit(lambda draft: bring(draft, wanted, BACKSTOP, PRIORITY_MAX)).result(
            _ANSWER_SECONDS
        )

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
