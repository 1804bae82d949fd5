# SPDX-License-Identifier: GPL-2.0-or-later
"""Watches whether challenges are sent: a driver that cannot send them keeps every newcomer out.

XDP_TX sends an answer out of the interface that the SYN came in. If that fails, the SYN is lost
without an error, but most drivers count it. Then this watch replaces challenges by limits. A
network card that is too slow for a flood loses most challenges, but not all, so they stay.
"""

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import NamedTuple

from xdpctl.base.net.interfaces import read_stats, xdp_not_sent, xdp_sent
from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.control.operations.challenges import challenges, without_challenges
from xdpctl.errors import DatapathError

_SECONDS = 0.5
_ENOUGH = 10  # challenges between two checks
_ALL = 0.999  # share of the challenges, where the driver does not count what it sends
_LOOKS = 2  # failed checks in a row
_TROUBLE = "it is not watched whether challenges are sent"
log = logging.getLogger("xdpctl.flows")


class _Card(NamedTuple):
    """What an interface's driver counts of packets that XDP sent back."""

    sent: int | None  # None: the driver does not count them
    lost: int


class ChallengeWatch:
    """Checks the counters of `interfaces` from `start` to `stop`."""

    def __init__(
        self,
        controller: Controller,
        interfaces: Callable[[], Iterable[str]],
        read: Callable[[str], dict[str, int]] = read_stats,
    ) -> None:
        self._controller, self._interfaces, self._read = controller, interfaces, read
        self._times: dict[str, int] = {}  # failed checks in a row of an interface
        self._before: tuple[int, dict[str, _Card]] | None = None
        self._replacing: Future[None] | None = None
        beat = PeriodicTask("challenges", _SECONDS, self.step, _TROUBLE)
        self.start, self.stop = beat.start, beat.stop

    def step(self, _: float = 0.0) -> None:
        """Compare what was sent since the last check with what was lost."""
        if self._controller.state.cannot_answer:
            self._replace()
            return
        try:
            sent = self._controller.datapath.flows.challenges().sent
        except DatapathError:
            return  # the maps are being made
        if self._before is not None and sent - self._before[0] < _ENOUGH:
            return  # too few to judge by; they count at the next check
        cards = {name: _card(self._read(name)) for name in self._interfaces()}
        before, self._before = self._before, (sent, cards)
        if before is None:
            return
        for name, card in cards.items():
            was = before[1].get(name, card)
            loses = _loses(sent - before[0], was, card)
            self._times[name] = self._times.get(name, 0) + 1 if loses else 0
            if self._times[name] >= _LOOKS:
                self._controller.state.cannot_answer = name
                log.error(
                    "%s: its driver cannot send challenges (xdp_tx_errors of `ethtool -S`), which "
                    "would keep newcomers out: they are replaced",
                    name,
                )
                self._replace()
                return

    def _replace(self) -> None:
        """Replace all challenges, on this node alone: other nodes have other network cards."""
        if self._replacing is not None:
            if not self._replacing.done():
                return
            done, self._replacing = self._replacing, None
            done.result()
        interface = self._controller.state.cannot_answer
        if self._standing():
            self._replacing = self._controller.submit(
                lambda draft: without_challenges(draft, interface), scope=None
            )

    def _standing(self) -> bool:
        return any(map(challenges, list(self._controller.state.matches.values())))

    def warnings(self) -> list[str]:
        """What an operator should know."""
        interface = self._controller.state.cannot_answer
        if not interface:
            return []
        now = "are to be replaced, and keep newcomers out until then"
        done = "were replaced on this node, and none is taken until the next start"
        return [
            f"the driver of {interface} cannot send challenges: they "
            f"{now if self._standing() else done}; if it is a veth, attach a program to its peer"
        ]


def _card(counters: dict[str, int]) -> _Card:
    return _Card(xdp_sent(counters), xdp_not_sent(counters))


def _loses(challenged: int, was: _Card, card: _Card) -> bool:
    """Whether an interface lost all that it had to send, or all challenges."""
    lost = card.lost - was.lost
    if was.sent is None or card.sent is None:
        return lost >= _ALL * challenged
    return lost >= _ENOUGH and card.sent == was.sent
