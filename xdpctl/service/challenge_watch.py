# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether challenges leave: a driver that cannot send them would keep every newcomer out.

XDP sends an answer back out of the card it came in. Where that fails, the SYN is gone, and nobody
is told. Most drivers count it. Then challenges are replaced by limits.
"""

import logging
from collections.abc import Callable, Iterable

from xdpctl.base.net.ethtool_stats import read_stats, xdp_not_sent
from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.control.operations.signatures import without_challenges
from xdpctl.errors import DatapathError

_SECONDS = 0.5
_ENOUGH = 10  # challenges between two looks
_LOST = 0.9  # of them, at two looks in a row: a queue that is full loses some
_LOOKS = 2
_TROUBLE = "it is not watched whether challenges leave"
log = logging.getLogger("xdpctl.flows")


class ChallengeWatch:
    """Looks at the counters of `interfaces` from `start` to `stop`."""

    def __init__(
        self,
        controller: Controller,
        interfaces: Callable[[], Iterable[str]],
        read: Callable[[str], dict[str, int]] = read_stats,
    ) -> None:
        self._controller, self._interfaces, self._read = controller, interfaces, read
        self._times = 0  # looks in a row
        self._before: tuple[int, dict[str, int]] | None = None
        beat = PeriodicTask("challenges", _SECONDS, self.step, _TROUBLE)
        self.start, self.stop = beat.start, beat.stop

    def step(self, _: float = 0.0) -> None:
        """Compare what was sent since the last look with what was lost."""
        flows = self._controller.datapath.flows
        try:
            sent = flows.challenges().sent
        except DatapathError:
            return  # the maps are being made
        lost = {name: xdp_not_sent(self._read(name)) for name in self._interfaces()}
        before, self._before = self._before, (sent, lost)
        if before is None or self._controller.state.cannot_answer:
            return
        more = sent - before[0]
        failed = {name: count - before[1].get(name, count) for name, count in lost.items()}
        worst = max(failed, key=lambda name: failed[name], default="")
        if more < _ENOUGH:
            return
        self._times = self._times + 1 if sum(failed.values()) >= _LOST * more else 0
        if self._times >= _LOOKS:
            self._replace(worst)

    def _replace(self, interface: str) -> None:
        log.error(
            "%s: its driver cannot send challenges (xdp_tx_errors of `ethtool -S`), which would "
            "keep newcomers out: they are replaced by limits",
            interface,
        )
        self._controller.state.cannot_answer = interface
        self._controller.submit(lambda draft: without_challenges(draft, interface))

    def warnings(self) -> list[str]:
        """What an operator should know."""
        interface = self._controller.state.cannot_answer
        if not interface:
            return []
        return [
            f"the driver of {interface} cannot send challenges: they were replaced by limits, and "
            "none is taken until the next start; if it is a veth, attach a program to its peer"
        ]
