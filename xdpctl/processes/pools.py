# SPDX-License-Identifier: GPL-2.0-or-later
"""Threads that do slow work for requests, and limits of that work."""

from dataclasses import dataclass, field

from xdpctl.base.few_at_once import FewAtOnce
from xdpctl.base.workers import WorkerPool
from xdpctl.mitigation.guards import RateLimits

_FETCHES = 4  # fetches at the same time, if requests wait for them
_LOOKS, _LOOKS_WAITING = 2, 30  # at the same time, and waiting: other requests must go on
_WATCHES = 4  # workers: one samples, the others answer that a sampling is under way
_HELPDESK_A_MINUTE = 20  # sources that one token of a help desk releases


@dataclass(slots=True)
class Pools:
    """The pools and limits that all requests share."""

    fetches: WorkerPool = field(default_factory=lambda: WorkerPool("fetches of feeds", _FETCHES))
    looks: FewAtOnce = field(
        default_factory=lambda: FewAtOnce("looks at the traffic", _LOOKS, _LOOKS_WAITING)
    )
    watches: WorkerPool = field(default_factory=lambda: WorkerPool("samplings", _WATCHES))
    helpdesk: RateLimits = field(default_factory=lambda: RateLimits(_HELPDESK_A_MINUTE))

    def stop(self) -> None:
        """Take no more work; requests that wait for some are answered at once."""
        for pool in (self.fetches, self.watches, self.looks):
            pool.stop()
