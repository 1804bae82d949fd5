# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the speaker announce what is approved, measures whether it helps, and ends it again.

After its time, an announcement is withdrawn and the link is watched: while others filter or
blackhole, nobody here sees whether the attack goes on. If the link fills again, the announcement is
renewed.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from xdpctl.base.durations import show_duration
from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.model.announcement import Announcement
from xdpctl.model.match.match import Match
from xdpctl.model.route import SPREADS
from xdpctl.model.route import Kind as RouteKind
from xdpctl.notify.changes import News
from xdpctl.notify.settings import Kind
from xdpctl.upstream import announcements, orders, rehearsals
from xdpctl.upstream.bgp.messages import PeerRoute, Wanted
from xdpctl.upstream.bgp.speaker import Speaker
from xdpctl.upstream.diversion import WaysBack
from xdpctl.upstream.effects import BEFORE, LOOKS, SETTLES, Effect, Effects, Verdict
from xdpctl.upstream.link import Link
from xdpctl.upstream.peers import Peer
from xdpctl.upstream.proposer import Proposer, agreed, session_of
from xdpctl.upstream.rehearsals import ACCEPTED_SECONDS
from xdpctl.upstream.settings import Uplink, UpstreamSettings
from xdpctl.upstream.stepping_down import Situation, plan

_STEP_SECONDS = 1.0
_TROUBLE = "announcements to peers are not kept up to date"
_TURN_SECONDS = 5.0  # for which an announcement that waits for its probe is ordered, repeatedly
_OVERTIME_SECONDS = 600.0
log = logging.getLogger("xdpctl.upstream")


@dataclass(slots=True)
class Announcer:
    """Makes a step once a second; when woken, it also sends the speaker its orders at once.

    `links` has the uplinks by their interface. `rates` returns the bits a second that a match took
    on an uplink between two monotonic times, part by part. `tell` notifies people.
    """

    controller: Controller
    settings: UpstreamSettings
    speaker: Speaker
    proposer: Proposer
    links: Mapping[str, Link]
    rates: Callable[[Uplink, Match, float, float], Sequence[float]]
    tell: Callable[[News], None]
    effects: Effects = field(default_factory=Effects)
    _since: float = field(init=False)  # Unix time: announcements sent before it are not measured
    _told: set[str] = field(default_factory=set)  # ids that this process sent to the speaker
    _sent: set[str] = field(default_factory=set)  # ids that the speaker has confirmed
    _ordered: dict[str, tuple[float, int]] = field(default_factory=dict)  # when, and full for
    _measured: set[str] = field(default_factory=set)  # ids that are announced and measured
    _probed: set[str] = field(default_factory=set)  # ids whose probe this process began
    _rehearsals: set[str] = field(default_factory=set)  # ids whose result is kept
    _beat: PeriodicTask = field(init=False)
    _drawn: dict[str, float] = field(default_factory=dict)  # since when, diversions (monotonic)
    _cut_off: set[str] = field(default_factory=set)  # ids whose way back counts as cut
    _ways: WaysBack = field(default_factory=WaysBack)
    _now: float = 0.0
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

    def look(self) -> None:
        """Make a step now: a link has become full."""
        self._step_at = 0.0
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
        self._now = now
        full = frozenset(p.name for p in self.settings.peers if self._full_for(p))
        self._begin(now)
        self._step_down(full)
        self._measure(now)
        self._refusals()
        self.proposer.step(full)
        self._tell_speaker(now)

    def _full_for(self, peer: Peer) -> int:
        """The seconds for which the uplink of a peer has been full."""
        uplink = self.settings.uplink_of(peer)
        return self.links[uplink.interface].state.full_for if uplink else 0

    def _known(self, peer: Peer) -> bool:
        """Whether it is known what comes through the uplink of a peer."""
        uplink = self.settings.uplink_of(peer)
        return uplink is not None and not math.isnan(self.links[uplink.interface].state.share)

    def _tell_speaker(self, now: float) -> None:
        """Order the speaker to announce these routes, and for how long.

        The order goes out each second, so announcements end automatically once it stops.
        """
        kernel, entries = self.controller.clock.read().ns, self._entries()
        announced = orders.announced(self.speaker.report, self.settings)
        waiting = sum(self._probe_seconds(entry) for entry in entries if entry.announced)
        overtime = min(waiting, _OVERTIME_SECONDS)  # until the last has had its turn
        wanted = list[tuple[Peer, Wanted]]()
        for entry in entries:
            peer, seconds = self.settings.peer(entry.peer), (entry.expires_ns - kernel) / 1e9
            if entry.id in self._told and seconds > -overtime:
                seconds = max(seconds, _TURN_SECONDS)  # `step` decides when this announcement ends
            if entry.announced and not entry.probing and seconds > 0 and peer and peer.announces:
                route = PeerRoute(peer.host, entry.route)
                wanted.append((peer, Wanted(route, seconds)))
                self._told.add(entry.id)
                if route not in announced:
                    self._ordered[entry.id] = now, self._full_for(peer)
        self.speaker.announce(orders.with_prefixes(wanted, self.settings))

    def _entries(self) -> list[Announcement]:
        return list(self.controller.state.announcements.values())

    def _begin(self, now: float) -> None:
        """Begin to measure the announcements that the speaker reports from now on."""
        report = self.speaker.report
        announced = orders.announced(report, self.settings)
        for entry in self._entries():
            peer = self.settings.peer(entry.peer)
            if peer is None or PeerRoute(peer.host, entry.route) not in announced or entry.probing:
                self._measured.discard(entry.id)
                continue
            if not agreed(session_of(report, peer), entry.kind, entry.victim.family):
                continue
            if entry.sent_at >= self._since and entry.id not in self._sent:
                self._say(entry, f"asked AS {peer.peer_as} ({peer.name}) to {entry.what}")
            if entry.sent_at >= self._since and entry.id not in self._measured:
                self._measured.add(entry.id)
                at, full_for = self._ordered.get(entry.id, (now, self._full_for(peer)))
                leaves, spreads = 8.0 * entry.route.rate, SPREADS.get(entry.kind, 0.0)
                full_for = int(BEFORE) if entry.rehearsal else full_for
                self.effects.begin(entry.id, full_for, leaves, at, spreads)
            self._sent.add(entry.id)

    def _measure(self, now: float) -> None:
        """Note in the incident whether an announcement helps, as soon as that can be told."""
        state = self.controller.state.announcements
        self.effects.keep({k for k, e in list(state.items()) if e.announced})
        for number, effect in self.effects.of.items():
            entry = state.get(number)
            peer = self.settings.peer(entry.peer) if entry else None
            uplink = self.settings.uplink_of(peer) if peer else None
            if entry is None or uplink is None or number not in self._measured:
                continue
            at, match = effect.since, entry.route.takes
            if effect.before is None and now > at + SETTLES:
                begun = at - min(BEFORE, effect.full_for + 1)
                effect.before = self.rates(uplink, match, begun, at)
            if effect.before is None or not effect.due(now):
                continue
            after = self.rates(uplink, match, max(at + SETTLES, now - LOOKS[-1]), now)
            disturbed = "" if entry.rehearsal else self._disturbed(entry, peer)
            if not effect.judge(effect.before, after, disturbed):
                continue
            if entry.rehearsal:
                self._rehearsed(entry, "", effect)
            else:
                self._judged(entry, effect.verdict)

    def _disturbed(self, entry: Announcement, peer: Peer | None) -> str:
        """Why the rates tell nothing about a route: something else may have changed them."""
        uplink = self.settings.uplink_of(peer) if peer else None
        if uplink is not None and self.links[uplink.interface].state.is_full:
            return "the link is full still, so other traffic may have taken its place"
        holes = (
            other
            for other in self._entries()
            if other.announced and other.id != entry.id and other.kind is not RouteKind.FLOWSPEC
        )
        covered = any(other.victim.covers(entry.victim) for other in holes)
        return "a blackhole or a diversion of it was announced, too" if covered else ""

    def _refusals(self) -> None:
        """Keep that rehearsals failed whose routes do not reach their peer in time."""
        if self.speaker.report is None:
            return  # it may say more when it is back
        late = self.controller.clock.read().unix - ACCEPTED_SECONDS
        for entry in self._entries():
            mine = entry.rehearsal and self._since <= entry.sent_at < late
            if mine and (why := self._obstacle(entry)):
                self._rehearsed(entry, why, None)

    def _obstacle(self, entry: Announcement) -> str:
        return orders.obstacle(entry, self.speaker.report, self.settings)

    def _rehearsed(self, entry: Announcement, refused: str, effect: Effect | None) -> None:
        if entry.id not in self._rehearsals:
            self._rehearsals.add(entry.id)
            self.controller.submit(lambda draft: rehearsals.finish(draft, entry, refused, effect))

    def _judged(self, entry: Announcement, verdict: Verdict) -> None:
        text = f"asking {entry.peer} to {entry.what} {verdict}"
        if not verdict.nothing or verdict.why:
            self._say(entry, text)
            return
        self.proposer.failed.add((entry.incident, entry.peer, entry.kind))
        text += (
            ": it may ignore what we send. Call the provider: xdpctl incident report "
            f"{entry.incident} --for provider"
        )
        self._say(entry, text)
        self.tell(News(Kind.ESCALATED, f"{entry.id} no help", f"{entry.peer} does not help", text))

    def _say(self, announcement: Announcement, text: str) -> None:
        log.info("%s: %s", announcement.id, text)
        self.controller.submit(
            lambda draft: announcements.note(draft, announcement, text, announcements.ITSELF)
        )

    def _step_down(self, full: frozenset[str]) -> None:
        """End announcements whose time is over, one by one: withdraw one, and watch the link."""
        announced = [entry for entry in self._entries() if entry.announced]
        standing = {entry.id for entry in announced}
        self._told &= standing
        self._sent &= standing
        self._probed &= standing
        self._rehearsals &= standing
        self._drawn = {number: at for number, at in self._drawn.items() if number in standing}
        self._ordered = {k: order for k, order in self._ordered.items() if k in standing}
        earlier = {entry.id for entry in announced if entry.sent_at < self._since}
        steps = plan(
            announced,
            Situation(
                now=self.controller.clock.read().ns,
                full=full,
                known={peer.name for peer in self.settings.peers if self._known(peer)},
                told=self._told,
                sent=self._sent | earlier,
                probed=self._probed,
                idle=self._idle,
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
        for entry, why in steps.end:
            if entry.id in self._cut_off:
                self._say_cut(entry, why)
        self._cut_off.clear()
        self._probed -= {entry.id for entry in steps.renew}
        self._probed |= {entry.id for entry in steps.probe}

    def _probe_seconds(self, entry: Announcement) -> float:
        """For how long its link is watched without an announcement."""
        return max(self.settings.probe, SPREADS.get(entry.kind, 0.0))

    def _say_cut(self, entry: Announcement, why: str) -> None:
        """Tell people that a diversion was withdrawn, since nothing came back; offer it no more."""
        for incident in list(self.controller.state.incidents.values()):
            if incident.open:
                self.proposer.failed.add((incident.id, entry.peer, entry.kind))
        text = f"{why}, so it is not asked any more to {entry.what}: people come by the link again"
        self.tell(News(Kind.ESCALATED, f"{entry.id} cut", f"{entry.peer} sends nothing back", text))

    def _idle(self, announcement: Announcement) -> bool:
        """Whether nothing arrives of what a limit would let pass, although its link is full."""
        return announcement.route.rate > 0 and self.proposer.idle(announcement)

    def _refusal(self, announcement: Announcement) -> str:
        """Why an announcement must end; "" if it may go on."""
        peer = self.settings.peer(announcement.peer)
        if peer is None:
            return f"{announcement.peer} is no peer any more"
        why = announcements.refusal(
            announcement.route, peer, self.settings, self.controller.state.protection
        )
        diverts = announcement.kind is RouteKind.DIVERSION
        return why or (self._cut(announcement, peer) if diverts else "")

    def _cut(self, diverted: Announcement, peer: Peer) -> str:
        """Why the way back of a diversion counts as cut; "" if it does not."""
        if self.speaker.report is None:
            return ""
        if diverted.probing or self._obstacle(diverted):
            self._drawn.pop(diverted.id, None)
            return ""
        drawn = self._drawn.setdefault(diverted.id, self._now)
        why = self._ways.silent(peer, drawn + SPREADS[diverted.kind], self._now)
        if why:
            self._cut_off.add(diverted.id)
        return why

    def _renew(self, draft: Draft, announcement: Announcement) -> None:
        """Announce again what is still needed, for as long as before."""
        until = draft.now.after(announcements.lasts(announcement, self.settings))
        new = announcement.replace(
            probing=False, expires_ns=until, renewed=announcement.renewed + 1
        )
        draft.announcements[announcement.id] = new
        announcements.record(draft, announcements.ITSELF, "renew", announcement)
        why = "filled again" if announcement.probing else "is still full"
        text = f"the link {why}, so {announcement.peer} is asked again to {announcement.what}"
        announcements.note(draft, new, text, announcements.ITSELF)

    def _probe(self, draft: Draft, announcement: Announcement) -> None:
        """Withdraw an announcement for a while, to see whether the link fills again."""
        probe = self._probe_seconds(announcement)
        until = draft.now.after(probe)
        draft.announcements[announcement.id] = announcement.replace(probing=True, expires_ns=until)
        announcements.record(draft, announcements.ITSELF, "probe", announcement)
        seconds = show_duration(probe)
        text = f"withdrew from {announcement.peer} for {seconds}, to see whether it is needed still"
        announcements.note(
            draft, announcement, f"{text}: {announcement.what}", announcements.ITSELF
        )


def _still(draft: Draft, candidates: list[Announcement]) -> list[Announcement]:
    """The announcements that nobody has changed meanwhile."""
    return [entry for entry in candidates if draft.announcements.get(entry.id) == entry]
