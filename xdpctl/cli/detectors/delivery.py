# SPDX-License-Identifier: GPL-2.0-or-later
"""Delivers bodies to a detector's hook, with retries."""

import logging
from collections.abc import Callable
from typing import Any

from xdpctl.client import Client, path
from xdpctl.errors import Refused, Unreachable

_WAITS = (0.5, 1.0, 2.0, 5.0, 10.0)
_AGAIN = frozenset((429, 500, 502, 503, 507))  # statuses that allow a retry
# if a body makes the control plane fail, give it up after a few tries: other bodies wait
_DEFECT, _TRIES = 500, 5
log = logging.getLogger("xdpctl.follow")


def may_retry(error: Refused | Unreachable) -> bool:
    """Whether a retry may succeed: no control plane answers, or it has a temporary problem."""
    return isinstance(error, Unreachable) or error.problem.get("status") in _AGAIN


class HookDelivery:
    """Callable that posts a body to the hook of `detector`, and retries temporary errors.

    `wait(seconds)` sleeps, and returns True once the process is to end. `partly` is True if part
    of the last body was refused.
    """

    def __init__(self, client: Client, detector: str, wait: Callable[[float], bool]) -> None:
        self._client, self._detector, self._wait = client, detector, wait
        self.partly = False

    def __call__(self, body: bytes) -> bool:
        """Post a body. True if it was accepted or finally refused, False if `wait` ended it."""
        attempt = 0
        while True:
            try:
                self._log(self._client.call("POST", path("hooks", self._detector), content=body))
                return True
            except (Refused, Unreachable) as error:
                defect = isinstance(error, Refused) and error.problem.get("status") == _DEFECT
                if not may_retry(error) or (defect and attempt >= _TRIES - 1):
                    log.error("refused and not sent again: %s", error)
                    self.partly = True
                    return True
                why = str(error)
            seconds = _WAITS[min(attempt, len(_WAITS) - 1)]
            log.warning("retry in %g s: %s", seconds, why.splitlines()[0])
            if self._wait(seconds):
                return False
            attempt += 1

    def _log(self, done: dict[str, Any]) -> None:
        self.partly = bool(done["refused"])
        for refusal in done["refused"]:
            log.warning("%s: %s", refusal["what"], refusal["why"])
        if done["rules"] or done["released"]:
            log.info("%d rules in force, %d ended", len(done["rules"]), len(done["released"]))
