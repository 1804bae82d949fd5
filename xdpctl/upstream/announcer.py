# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the speaker announce what is approved, measures whether it helps, and ends it again.

After its time, an announcement is withdrawn and the link is watched: while others filter or
blackhole, nobody here sees whether the attack goes on. If the link fills again, the announcement is
renewed.
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
_TROUBLE = "announcements to peers are not kept up to date"
_TURN_SECONDS = 5.0  # for which an announcement that waits for its probe is ordered, repeatedly
log = logging.getLogger("xdpctl.upstream")


@dataclass(slots=True)
class Announcer:
    """Makes a step once a second; when woken, it also sends the speaker its orders at once.

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
    _since: float = field(init=False)  # Unix time: announcements sent before it are not measured
    _told: set[str] = field(default_factory=set)  # ids that this process sent to the speaker
    _sent: set[str] = field(default_factory=set)  # ids that the speaker has confirmed
    _probed: set[str] = field(default_factory=set)  # ids whose probe this process began
    _beat: PeriodicTask = field(init=False)
    _step_at: float = 0.0

    def __post_init__(self) -> None:
        self._since = self.controller.clock.read().unix
        self._beat = PeriodicTask("announcer", _STEP_SECONDS, self._turn, _TROUBLE)

    def start(self) -> None:
        self._beat.start()

    def stop(self) -> None:
        """Stop; the speaker ends each announcement when its time is over."""
        self._beat.stop()

    def wake(self) -> None:
        """Send orders now: something was approved or withdrawn, or the speaker has come back."""
        self._beat.wake()

    @property
    def problem(self) -> str:
        """Why the last turn failed; "" if it did not."""
        return self._beat.problem

    def _turn(self, now: float) -> None:
        """Send orders to the speaker, and about once a second do the rest."""
        self._tell_speaker(now)
        if now >= self._step_at:
            self._step_at = now + _STEP_SECONDS * 0.9
            self.step(now)

    def step(self, now: float) -> None:
        """Measure whether announcements help, end those that are over, and propose more."""
        full = any(link.state.full_for for link in self.links())
        self._begin(now)
        self._measure(now, full)
        self._step_down(full)
        self.proposer.step(full)
        self._tell_speaker(now)

    def _tell_speaker(self, now: float) -> None:
        """Order the speaker to announce these routes, and for how long.

        The order goes out each second, so announcements end automatically once it stops.
        """
        kernel, announced = self.controller.clock.read().ns, self._announced()
        overtime = self.settings.most * self.settings.probe  # until the last has had its turn
        wanted = []
        for entry in list(self.controller.state.announcements.values()):
            peer, seconds = self.settings.peer(entry.peer), (entry.expires_ns - kernel) / 1e9
            if entry.id in self._told and seconds > -overtime:
                seconds = max(seconds, _TURN_SECONDS)  # `step` decides when this announcement ends
            if entry.announced and not entry.probing and seconds > 0 and peer and peer.announces:
                route = PeerRoute(peer.host, entry.route)
                wanted.append(Wanted(route, seconds))
                self._told.add(entry.id)
                if route not in announced:
                    self._before[entry.id] = self._share(), now
        self.speaker.announce(wanted)

    def _announced(self) -> set[PeerRoute]:
        """The routes that the speaker announces over sessions that are up."""
        report, routes = self.speaker.report, set()
        for told in report.told if report and report.told else []:
            peer = next((p for p in self.settings.peers if p.host == told.route.peer), None)
            session = session_of(report, peer) if peer else None
            if session is not None and session.up and not told.problem:
                routes.add(told.route)
        return routes

    def _begin(self, now: float) -> None:
        """Begin to measure the announcements that the speaker reports, from what arrived before."""
        announced, report = self._announced(), self.speaker.report
        for entry in list(self.controller.state.announcements.values()):
            peer = self.settings.peer(entry.peer)
            if peer is None or PeerRoute(peer.host, entry.route) not in announced or entry.probing:
                continue
            if not agreed(session_of(report, peer), entry.kind, entry.victim.family):
                continue
            if entry.sent_at >= self._since and entry.id not in self._sent:
                self._say(entry, f"asked AS {peer.peer_as} ({peer.name}) to {entry.what}")
            if entry.sent_at >= self._since and entry.id not in self.effects.of:
                share, at = self._before.get(entry.id, (self._share(), now))
                self.effects.begin(entry.id, share, at)
            self._sent.add(entry.id)

    def _share(self) -> float:
        """The highest share of an uplink; NaN if none is known."""
        shares = [share for link in self.links() if not math.isnan(share := link.state.share)]
        return max(shares, default=math.nan)

    def _measure(self, now: float, full: bool) -> None:
        """Note by how much each announcement has reduced inbound traffic, or that it has not."""
        state = self.controller.state.announcements
        standing = {k for k, e in list(state.items()) if e.announced and not e.probing}
        for number, helped in self.effects.look(self._share(), now, standing).items():
            announcement, effect = state.get(number), self.effects.of[number]
            if announcement is None:
                continue
            if helped and effect.helped_after is not None:
                after = f"{effect.helped_after:.1f} s"
                self._say(announcement, f"inbound fell by {effect.fell_by:.0%} after {after}")
            elif full:
                self._no_help(announcement)

    def _no_help(self, announcement: Announcement) -> None:
        self.proposer.failed.add(announcement.incident)
        text = (
            f"inbound did not fall after {announcement.peer} was asked to {announcement.what}: it "
            f"may ignore what we send. Call the provider: xdpctl incident report "
            f"{announcement.incident} --for provider"
        )
        self._say(announcement, text)
        title = f"{announcement.peer} does not help"
        self.tell(News(Kind.ESCALATED, f"{announcement.id} no help", title, text))

    def _say(self, announcement: Announcement, text: str) -> None:
        log.info("%s: %s", announcement.id, text)
        self.controller.submit(
            lambda draft: announcements.note(draft, announcement, text, announcements.ITSELF)
        )

    def _step_down(self, full: bool) -> None:
        """End announcements whose time is over, one by one: withdraw one, and watch the link."""
        records = list(self.controller.state.announcements.values())
        announced = [entry for entry in records if entry.announced]
        standing = {entry.id for entry in announced}
        self._told &= standing
        self._sent &= standing
        self._probed &= standing
        self._before = {k: before for k, before in self._before.items() if k in self._told}
        earlier = {entry.id for entry in announced if entry.sent_at < self._since}
        steps = plan(
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
        if not steps:
            return

        def operation(draft: Draft) -> None:
            for entry in _still(draft, steps.renew):
                self._renew(draft, entry)
            for entry, why in steps.end:
                if draft.announcements.get(entry.id) == entry:
                    announcements.withdraw(draft, entry.id, None, why)
            for entry in _still(draft, steps.probe):
                self._probe(draft, entry)

        self.controller.submit(operation).result(10)
        self._probed -= {entry.id for entry in steps.renew}
        self._probed |= {entry.id for entry in steps.probe}

    def _refusal(self, announcement: Announcement) -> str:
        """Why an announcement must end; "" if it may go on."""
        return announcements.refusal(
            announcement.victim, self.settings, self.controller.state.protection
        )

    def _renew(self, draft: Draft, announcement: Announcement) -> None:
        """Announce again what is still needed, for as long as before."""
        until = draft.now.after(self.settings.ttl)
        new = announcement.replace(
            probing=False, expires_ns=until, renewed=announcement.renewed + 1
        )
        draft.announcements[announcement.id] = new
        announcements.record(draft, announcements.ITSELF, "renew", announcement)
        why = "filled again" if announcement.probing else "is still full"
        text = f"the link {why}, so {announcement.peer} is asked again to {announcement.what}"
        announcements.note(draft, new, text, announcements.ITSELF)
        if announcement.probing:
            self.effects.of.pop(announcement.id, None)

    def _probe(self, draft: Draft, announcement: Announcement) -> None:
        """Withdraw an announcement for a while, to see whether the link fills again."""
        until = draft.now.after(self.settings.probe)
        draft.announcements[announcement.id] = announcement.replace(probing=True, expires_ns=until)
        announcements.record(draft, announcements.ITSELF, "probe", announcement)
        seconds = show_duration(self.settings.probe)
        text = f"withdrew from {announcement.peer} for {seconds}, to see whether it is needed still"
        announcements.note(
            draft, announcement, f"{text}: {announcement.what}", announcements.ITSELF
        )


def _still(draft: Draft, candidates: list[Announcement]) -> list[Announcement]:
    """The announcements that nobody has changed meanwhile."""
    return [entry for entry in candidates if draft.announcements.get(entry.id) == entry]
