# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings the speaker to what is to be announced, watches whether it helps, and steps down.

What has lasted its time is withdrawn, and the link is watched: a victim that is blackholed, or
filtered for by others, cannot be observed otherwise. If the link fills again, it is announced anew.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from xdpctl.base.durations import show_duration
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.errors import XdpctlError
from xdpctl.model.announcement import Announcement
from xdpctl.notify.changes import News
from xdpctl.notify.settings import Kind
from xdpctl.upstream import announcing
from xdpctl.upstream.bgp.messages import Route, Wanted
from xdpctl.upstream.bgp.speaker import Speaker
from xdpctl.upstream.effects import Effects
from xdpctl.upstream.link import Link
from xdpctl.upstream.proposing import Proposer
from xdpctl.upstream.settings import UpstreamSettings

_STEP_SECONDS = 1.0
_TURN_SECONDS = 5.0  # for which one that waits for its turn is told, again and again
_BY = "xdpctl"
log = logging.getLogger("xdpctl.upstream")


@dataclass(slots=True)
class Announcer:
    """Steps once a second; it tells the speaker also whenever it is woken.

    `links` are the uplinks; `tell` notifies people.
    """

    controller: Controller
    settings: UpstreamSettings
    speaker: Speaker
    proposer: Proposer
    links: Callable[[], Iterable[Link]]
    tell: Callable[[News], None]
    effects: Effects = field(default_factory=Effects)
    problem: str = ""
    _waiting: set[str] = field(default_factory=set)  # their time is over, but not their turn
    _wake: threading.Event = field(default_factory=threading.Event)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _step_at: float = 0.0

    def start(self) -> None:
        """Start; without peers there is nothing to do."""
        if self.settings.peers:
            self._thread = threading.Thread(target=self._run, name="announcer", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop; the speaker ends what has lasted its time."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(5)

    def wake(self) -> None:
        """Tell the speaker now: something was approved or withdrawn, or it has come back."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(_STEP_SECONDS)
            self._wake.clear()
            try:
                self._tell_speaker(time.monotonic())
                if time.monotonic() >= self._step_at:
                    self._step_at = time.monotonic() + _STEP_SECONDS * 0.9
                    self.step(time.monotonic())
                self.problem = ""
            except XdpctlError as error:
                self._trouble(str(error))
            except Exception as error:
                log.exception("internal error of the announcer; it is tried again")
                self._trouble(repr(error))

    def _trouble(self, text: str) -> None:
        if text != self.problem:
            log.error("what is asked of peers is not kept: %s", text)
        self.problem = text

    def step(self, now: float) -> None:
        """Look whether what is announced has helped, and is over; propose more."""
        full = any(link.state.full_for for link in self.links())
        self._measure(now, full)
        self._step_down(full)
        self.proposer.step(full, _BY)
        self._tell_speaker(now)

    def _tell_speaker(self, now: float) -> None:
        """Tell the speaker all that is to be announced, and for how long; it is told each second.

        So what it announces ends by itself when nobody asks for it any more.
        """
        kernel, share = self.controller.clock.read().ns, self._share()
        wanted = []
        for each in list(self.controller.state.announcements.values()):
            peer, left = self.settings.peer(each.peer), (each.expires_ns - kernel) / 1e9
            if each.id in self._waiting:
                left = _TURN_SECONDS
            if each.announced and not each.probing and left > 0 and peer and peer.announces:
                wanted.append(Wanted(Route(peer.host, each.route), left))
                self.effects.begin(each.id, share, now)
        self.speaker.announce(wanted)

    def _share(self) -> float:
        """The highest share of an uplink; NaN if none is known."""
        known = [share for link in self.links() if not math.isnan(share := link.state.share)]
        return max(known, default=math.nan)

    def _measure(self, now: float, full: bool) -> None:
        """Say what each announcement did to what arrives, or that it did nothing."""
        state = self.controller.state.announcements
        for number, helped in self.effects.look(self._share(), now, state).items():
            each, effect = state.get(number), self.effects.of[number]
            if each is None:
                continue
            if helped and effect.helped_after is not None:
                after = f"{effect.helped_after:.1f} s"
                self._say(each, f"inbound fell by {effect.fell_by:.0%} after {after}")
            elif full:
                self._no_help(each)

    def _no_help(self, each: Announcement) -> None:
        self.proposer.failed.add(each.incident)
        text = (
            f"inbound did not fall after {each.peer} was asked to {each.what}: it may ignore what "
            f"we send. Call the provider: xdpctl upstream letter {each.incident}"
        )
        self._say(each, text)
        self.tell(News(Kind.ESCALATED, f"{each.id} no help", f"{each.peer} does not help", text))

    def _say(self, each: Announcement, text: str) -> None:
        log.info("%s: %s", each.id, text)
        self.controller.submit(lambda draft: announcing.note(draft, each, text, _BY))

    def _step_down(self, full: bool) -> None:
        """End what has lasted its time: withdraw one, watch the link, and then the next."""
        now = self.controller.clock.read()
        held = list(self.controller.state.announcements.values())
        due = [each for each in held if each.announced and each.expires_ns <= now.ns]
        probing = [each for each in held if each.probing]
        again = probing if full else []
        over = [] if full else [each for each in due if each.probing]
        ends = [each for each in due if not each.probing and each.id in self.effects.of]
        late = [each for each in due if not each.probing and each.id not in self.effects.of]
        watched = len(again) + len(over) < len(probing)
        first = [] if watched else ends[:1]
        self._waiting = {each.id for each in ends} - {each.id for each in first}
        if not (again or over or first or late):
            return

        def operation(draft: Draft) -> None:
            for each in _still(draft, again):
                self._renew(draft, each)
            for each in _still(draft, over):
                announcing.withdraw(draft, each.id, _BY, "the link did not fill without it")
            for each in _still(draft, late):
                announcing.withdraw(draft, each.id, _BY, "its time was over before this start")
            for each in _still(draft, first):
                self._probe(draft, each)

        self.controller.submit(operation).result(10)

    def _renew(self, draft: Draft, each: Announcement) -> None:
        """Announce again what is still needed, for as long as before."""
        until = draft.now.after(self.settings.ttl)
        new = each.replace(probing=False, expires_ns=until, renewed=each.renewed + 1)
        draft.announcements[each.id] = new
        draft.note(_BY, "upstream.renew", each.id, peer=each.peer, route=each.route)
        text = f"the link filled again, so {each.peer} is asked again to {each.what}"
        announcing.note(draft, new, text, _BY)
        self.effects.of.pop(each.id, None)

    def _probe(self, draft: Draft, each: Announcement) -> None:
        """Withdraw it for a while, to see whether the link fills again."""
        until = draft.now.after(self.settings.probe)
        draft.announcements[each.id] = each.replace(probing=True, expires_ns=until)
        draft.note(_BY, "upstream.probe", each.id, peer=each.peer, route=each.route)
        seconds = show_duration(self.settings.probe)
        text = f"withdrew from {each.peer} for {seconds}, to see whether it is needed still"
        announcing.note(draft, each, f"{text}: {each.what}", _BY)


def _still(draft: Draft, listed: list[Announcement]) -> list[Announcement]:
    """Those that nobody has changed meanwhile."""
    return [each for each in listed if announcing.standing(draft, each.id) == each]
