# SPDX-License-Identifier: GPL-2.0-or-later
"""Handing bodies to a hook until it has them."""

import logging
from collections.abc import Callable
from typing import Any

from xdpctl.errors import Refused, Unreachable
from xdpctl.service.client import Client, path

_WAITS = (0.5, 1.0, 2.0, 5.0, 10.0)
_AGAIN = frozenset((429, 500, 502, 503, 507))
_DEFECT, _TRIES = 500, 5  # of a body that the control plane fails on: others wait behind it
log = logging.getLogger("xdpctl.follow")


def passing(error: Refused | Unreachable) -> bool:
    """Whether it may be otherwise in a moment: no control plane, or one that is in trouble."""
    return isinstance(error, Unreachable) or error.problem.get("status") in _AGAIN


class HandOn:
    """Called with a body; `wait(seconds)` sleeps, and is true once we are to end.

    `partly` says that of the last body not all was done.
    """

    def __init__(self, client: Client, detector: str, wait: Callable[[float], bool]) -> None:
        self._client, self._detector, self._wait = client, detector, wait
        self.partly = False

    def __call__(self, body: bytes) -> bool:
        """Whether it was taken, or refused for good; false if we are to end before."""
        turn = 0
        while True:
            try:
                self._tell(self._client.call("POST", path("hooks", self._detector), content=body))
                return True
            except (Refused, Unreachable) as error:
                defect = isinstance(error, Refused) and error.problem.get("status") == _DEFECT
                if not passing(error) or (defect and turn >= _TRIES - 1):
                    log.error("refused, and left out: %s", error)
                    self.partly = True
                    return True
                why = str(error)
            seconds = _WAITS[min(turn, len(_WAITS) - 1)]
            log.warning("again in %g s: %s", seconds, why.splitlines()[0])
            if self._wait(seconds):
                return False
            turn += 1

    def _tell(self, done: dict[str, Any]) -> None:
        self.partly = bool(done["refused"])
        for one in done["refused"]:
            log.warning("%s: %s", one["what"], one["why"])
        if done["rules"] or done["released"]:
            log.info("%d rules stand, %d ended", len(done["rules"]), len(done["released"]))
