# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings the speaker to what is to be announced, watches whether it helps, and steps down.

What has lasted its time is withdrawn, and the link is watched: a victim that is blackholed, or
filtered for by others, cannot be observed otherwise. If the link fills again, it is announced anew.
"""

import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from xdpctl.base.durations import show_duration
from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.model.announcement import Announcement
from xdpctl.notify.changes import News
from xdpctl.notify.settings import Kind
from xdpctl.upstream import announcements
from xdpctl.upstream.bgp.messages import PeerRoute, Wanted
from xdpctl.upstream.bgp.speaker import Speaker
from xdpctl.upstream.effects import Effects
from xdpctl.upstream.link import Link
from xdpctl.upstream.proposer import Proposer, agreed, session_of
from xdpctl.upstream.settings import UpstreamSettings
from xdpctl.upstream.stepping_down import Situation, plan

_STEP_SECONDS = 1.0
_TROUBLE = "what is asked of peers is not kept"
_TURN_SECONDS = 5.0  # for which one that waits for its turn is told, again and again
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
    _before: dict[str, tuple[float, float]] = field(default_factory=dict)  # share, and when
    _since: float = field(init=False)  # Unix time: what was sent before is not measured
    _told: set[str] = field(default_factory=set)  # by this process
    _sent: set[str] = field(default_factory=set)  # as the speaker has confirmed
    _probed: set[str] = field(default_factory=set)  # by this process
    _beat: PeriodicTask = field(init=False)
    _step_at: float = 0.0

    def __post_init__(self) -> None:
        self._since = self.controller.clock.read().unix
        self._beat = PeriodicTask("announcer", _STEP_SECONDS, self._turn, _TROUBLE)

    def start(self) -> None:
        self._beat.start()

    def stop(self) -> None:
        """Stop; the speaker ends what has lasted its time."""
        self._beat.stop()

    def wake(self) -> None:
        """Tell the speaker now: something was approved or withdrawn, or it has come back."""
        self._beat.wake()

    @property
    def problem(self) -> str:
        """Why the last turn failed; "" if it did not."""
        return self._beat.problem

    def _turn(self, now: float) -> None:
        """Tell the speaker, and about once a second do the rest."""
        self._tell_speaker(now)
        if now >= self._step_at:
            self._step_at = now + _STEP_SECONDS * 0.9
            self.step(now)

    def step(self, now: float) -> None:
        """Look whether what is announced has helped, and is over; propose more."""
        full = any(link.state.full_for for link in self.links())
        self._begin(now)
        self._measure(now, full)
        self._step_down(full)
        self.proposer.step(full)
        self._tell_speaker(now)

    def _tell_speaker(self, now: float) -> None:
        """Tell the speaker all that is to be announced, and for how long; it is told each second.

        So what it announces ends by itself when nobody asks for it any more.
        """
        kernel, announced = self.controller.clock.read().ns, self._announced()
        overtime = self.settings.most * self.settings.probe  # until the last has had its turn
        wanted = []
        for each in list(self.controller.state.announcements.values()):
            peer, left = self.settings.peer(each.peer), (each.expires_ns - kernel) / 1e9
            if each.id in self._told and left > -overtime:
                left = max(left, _TURN_SECONDS)  # `step` decides when it ends
            if each.announced and not each.probing and left > 0 and peer and peer.announces:
                route = PeerRoute(peer.host, each.route)
                wanted.append(Wanted(route, left))
                self._told.add(each.id)
                if route not in announced:
                    self._before[each.id] = self._share(), now
        self.speaker.announce(wanted)

    def _announced(self) -> set[PeerRoute]:
        """The routes that reach a peer, as the speaker says: it has them, and the session, too."""
        report, found = self.speaker.report, set()
        for told in report.told if report and report.told else []:
            peer = next((p for p in self.settings.peers if p.host == told.route.peer), None)
            session = session_of(report, peer) if peer else None
            if session is not None and session.up and not told.problem:
                found.add(told.route)
        return found

    def _begin(self, now: float) -> None:
        """Begin to measure what the speaker says is announced, by what arrived before."""
        announced, report = self._announced(), self.speaker.report
        for each in list(self.controller.state.announcements.values()):
            peer = self.settings.peer(each.peer)
            if peer is None or PeerRoute(peer.host, each.route) not in announced or each.probing:
                continue
            if not agreed(session_of(report, peer), each.kind, each.victim.family):
                continue
            if each.sent_at >= self._since and each.id not in self._sent:
                self._say(each, f"asked AS {peer.peer_as} ({peer.name}) to {each.what}")
            if each.sent_at >= self._since and each.id not in self.effects.of:
                share, at = self._before.get(each.id, (self._share(), now))
                self.effects.begin(each.id, share, at)
            self._sent.add(each.id)

    def _share(self) -> float:
        """The highest share of an uplink; NaN if none is known."""
        known = [share for link in self.links() if not math.isnan(share := link.state.share)]
        return max(known, default=math.nan)

    def _measure(self, now: float, full: bool) -> None:
        """Say what each announcement did to what arrives, or that it did nothing."""
        state = self.controller.state.announcements
        standing = {k for k, e in list(state.items()) if e.announced and not e.probing}
        for number, helped in self.effects.look(self._share(), now, standing).items():
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
        self.controller.submit(
            lambda draft: announcements.note(draft, each, text, announcements.ITSELF)
        )

    def _step_down(self, full: bool) -> None:
        """End what has lasted its time: withdraw one, watch the link, and then the next."""
        held = list(self.controller.state.announcements.values())
        announced = [each for each in held if each.announced]
        standing = {each.id for each in announced}
        self._told &= standing
        self._sent &= standing
        self._probed &= standing
        self._before = {k: before for k, before in self._before.items() if k in self._told}
        earlier = {each.id for each in announced if each.sent_at < self._since}
        made = plan(
            announced,
            Situation(
                now=self.controller.clock.read().ns,
                full=full,
                known=not math.isnan(self._share()),
                told=self._told,
                sent=self._sent | earlier,
                probed=self._probed,
                refusal=self._refusal,
            ),
        )
        if not made:
            return

        def operation(draft: Draft) -> None:
            for each in _still(draft, made.renew):
                self._renew(draft, each)
            for each, why in made.end:
                if draft.announcements.get(each.id) == each:
                    announcements.withdraw(draft, each.id, None, why)
            for each in _still(draft, made.probe):
                self._probe(draft, each)

        self.controller.submit(operation).result(10)
        self._probed -= {each.id for each in made.renew}
        self._probed |= {each.id for each in made.probe}

    def _refusal(self, each: Announcement) -> str:
        """Why something may not be announced any more: it is not ours, or has become ourselves."""
        return announcements.refusal(each.victim, self.settings, self.controller.state.protection)

    def _renew(self, draft: Draft, each: Announcement) -> None:
        """Announce again what is still needed, for as long as before."""
        until = draft.now.after(self.settings.ttl)
        new = each.replace(probing=False, expires_ns=until, renewed=each.renewed + 1)
        draft.announcements[each.id] = new
        announcements.record(draft, announcements.ITSELF, "renew", each)
        why = "filled again" if each.probing else "is still full"
        text = f"the link {why}, so {each.peer} is asked again to {each.what}"
        announcements.note(draft, new, text, announcements.ITSELF)
        if each.probing:
            self.effects.of.pop(each.id, None)

    def _probe(self, draft: Draft, each: Announcement) -> None:
        """Withdraw it for a while, to see whether the link fills again."""
        until = draft.now.after(self.settings.probe)
        draft.announcements[each.id] = each.replace(probing=True, expires_ns=until)
        announcements.record(draft, announcements.ITSELF, "probe", each)
        seconds = show_duration(self.settings.probe)
        text = f"withdrew from {each.peer} for {seconds}, to see whether it is needed still"
        announcements.note(draft, each, f"{text}: {each.what}", announcements.ITSELF)


def _still(draft: Draft, listed: list[Announcement]) -> list[Announcement]:
    """Those that nobody has changed meanwhile."""
    return [each for each in listed if draft.announcements.get(each.id) == each]
