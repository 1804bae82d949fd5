# SPDX-License-Identifier: GPL-2.0-or-later
"""Proposes to the peer of a full uplink what could help, the least costly first."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.errors import QuotaError, RuleError
from xdpctl.model.announcement import Announcement
from xdpctl.model.incident import Incident
from xdpctl.model.route import SPREADS, Kind
from xdpctl.notify.changes import News, Severity
from xdpctl.notify.settings import Kind as NewsKind
from xdpctl.upstream import announcements
from xdpctl.upstream.bgp.messages import Report, Session
from xdpctl.upstream.bgp.speaker import Speaker
from xdpctl.upstream.peers import Peer, PeerMode
from xdpctl.upstream.request import MEANS, Request
from xdpctl.upstream.settings import UpstreamSettings

_IDLE_SECONDS = 30.0  # after which a proposal ends that takes nothing of what fills the link
_INCIDENTS_MAX = 50
_ENOUGH_SECONDS = 15.0  # after which announced routes are not enough if the link is full still
log = logging.getLogger("xdpctl.upstream")


class Offer(NamedTuple):
    """What may be proposed to a peer about an incident."""

    incident: Incident
    peer: Peer
    requests: list[Request]


@dataclass(slots=True)
class Proposer:
    """Proposes for each open incident whose victim a full uplink is filled with.

    `asked` returns the requests about an incident that a peer takes, beyond what it was asked
    already, or all of them if that did not help. `idle` says whether an announcement takes nothing
    of what fills its uplink. `tell` notifies. `failed` has what did not help: the incident, the
    peer, and the means, so the next one is proposed.
    """

    controller: Controller
    settings: UpstreamSettings
    speaker: Speaker
    asked: Callable[[Incident, Peer, bool], list[Request]]
    idle: Callable[[Announcement], bool]
    tell: Callable[[News], None]
    failed: set[tuple[str, str, Kind]] = field(default_factory=set)
    problem: str = ""

    def step(self, full: frozenset[str]) -> None:
        """Propose to the peers whose uplink is full; drop proposals that are of no use any more."""
        self.problem = ""
        state = self.controller.state
        opened = {key: incident for key, incident in list(state.incidents.items()) if incident.open}
        self.failed = {failed for failed in self.failed if failed[0] in opened}
        records = list(state.announcements.values())
        now = self.controller.clock.read()
        over = [e for e in records if not e.announced and e.incident not in opened]
        stale = [e for e in over if (e.expires_ns <= now.ns if e.declined else e.incident)]
        waiting = [e for e in records if not (e.announced or e.declined or e in over)]
        idle = [e for e in waiting if e.by == announcements.ITSELF and e.peer in full]
        idle = [e for e in idle if now.unix - e.at >= _IDLE_SECONDS and self.idle(e)]
        known_ids = {announcement.id for announcement in records}
        offers = [
            offer
            for incident in _newest(opened.values())
            for offer in self.offers(incident, full)
            if any(announcements.identity(offer.peer.name, r) not in known_ids for r in offer[2])
        ]
        if not (stale or idle or offers):
            return

        def operation(draft: Draft) -> list[Announcement]:
            for announcement in stale:
                _forget(draft, announcement, "the attack is over")
            for announcement in idle:
                _forget(draft, announcement, "it takes nothing of what fills the link now")
            proposals: list[Announcement] = []
            for offer in offers:
                proposals += self._propose(draft, offer)
            return proposals

        for proposal in self.controller.submit(operation).result(10):
            self._tell(proposal)

    def _propose(self, draft: Draft, offer: Offer) -> list[Announcement]:
        """Propose to one peer; return what waits. If too much waits, set `problem`, and go on."""
        incident, peer, requests = offer
        try:
            made = announcements.propose(draft, peer, requests, incident.id, None, self.settings)
        except QuotaError as error:
            self.problem = str(error)
            return []
        sure = {announcements.identity(peer.name, request) for request in requests if request.sure}
        return [
            proposal
            for proposal in made
            if not (proposal.id in sure and self._sent_by_policy(draft, peer, proposal))
        ]

    def offers(self, incident: Incident, full: frozenset[str]) -> list[Offer]:
        """FlowSpec for the peers in `full`; if that is impossible or failed, a costlier means.

        The peers of one uplink share their means: who diverts waits for what another one filters.
        """
        asked = {
            peer: self._possible(incident, peer)
            for peer in self.settings.peers
            if peer.announces and peer.name in full
        }
        offers = []
        for peer, requests in asked.items():
            beside = {each: asked[each] for each in self._beside(peer, asked)}
            left = (kind for kind in MEANS if self._left(incident, beside, kind))
            kinds = {Kind.FLOWSPEC, next(left, Kind.FLOWSPEC)}
            offers.append(Offer(incident, peer, [r for r in requests if r.kind in kinds]))
        return offers

    def _beside(self, peer: Peer, peers: Iterable[Peer]) -> list[Peer]:
        """The peers of the same uplink, without those that cannot be asked if others can."""
        uplink = self.settings.uplink_of(peer)
        beside = [each for each in peers if self.settings.uplink_of(each) == uplink]
        return [each for each in beside if not self._down(each)] or beside

    def _down(self, peer: Peer) -> bool:
        session = session_of(self.speaker.report, peer)
        return session is not None and not session.up

    def _possible(self, incident: Incident, peer: Peer) -> list[Request]:
        """What a peer takes in this session, and what may be announced to it."""
        protection = self.controller.state.protection
        failed = (incident.id, peer.name, Kind.FLOWSPEC) in self.failed
        return [
            request
            for request in self.asked(incident, peer, failed)
            if self._takes(peer, request)
            and not announcements.refusal(request.route, peer, self.settings, protection)
        ]

    def _left(self, incident: Incident, asked: Mapping[Peer, list[Request]], kind: Kind) -> bool:
        """Whether a means can be asked for, or may be enough still, or was declined by a person.

        Whoever declines something is not offered something costlier without asking.
        """
        standing = dict(self.controller.state.announcements)
        now = self.controller.clock.read()
        since = now.unix - _ENOUGH_SECONDS - SPREADS.get(kind, 0.0)
        for peer, requests in asked.items():
            if (incident.id, peer.name, kind) in self.failed:
                continue
            for request in requests:
                entry = standing.get(announcements.identity(peer.name, request))
                if request.kind is kind and (entry is None or entry.declined):
                    return True
            mine = [e for e in standing.values() if e.peer == peer.name and e.kind is kind]
            about = [e for e in mine if _concerns(e, incident, requests)]
            if any(not e.announced or e.probing for e in about):
                return True
            if any(announcements.begun(e, self.settings, now) > since for e in about):
                return True
        return False

    def _takes(self, peer: Peer, request: Request) -> bool:
        """Whether the session carries routes of that kind and family, as far as is known."""
        session = session_of(self.speaker.report, peer)
        return agreed(session, request.kind, request.victim.family)

    def _sent_by_policy(self, draft: Draft, peer: Peer, proposal: Announcement) -> bool:
        """Approve a FlowSpec route for a peer in mode `auto`; a blackhole waits for a person."""
        if peer.mode is not PeerMode.AUTO or proposal.kind is not Kind.FLOWSPEC:
            return False
        if announcements.policy_stopped(draft) or announcements.needs_word(
            proposal, draft.state.protection
        ):
            return False
        try:
            announcements.approve(draft, proposal.id, None, "", self.settings)
        except RuleError as error:
            log.warning("%s is not sent by policy: %s", proposal.id, error)
            return False
        return True

    def _tell(self, proposal: Announcement) -> None:
        title = f"proposed: ask {proposal.peer} to {proposal.what}"
        text = f"{title}. Cost: {proposal.cost}\nxdpctl upstream approve {proposal.id}"
        self.tell(News(NewsKind.ESCALATED, proposal.id, title, text, level=Severity.WARNING))


def _concerns(entry: Announcement, incident: Incident, requests: Iterable[Request]) -> bool:
    """Whether an announcement is about an incident, or takes all that its requests are about."""
    if entry.incident == incident.id:
        return True
    return entry.kind is not Kind.FLOWSPEC and any(
        entry.victim.covers(request.victim) for request in requests
    )


def _newest(incidents: Iterable[Incident]) -> list[Incident]:
    """The newest incidents; so many fit into a step."""
    return sorted(incidents, key=lambda incident: -incident.opened_at)[:_INCIDENTS_MAX]


def session_of(report: Report | None, peer: Peer) -> Session | None:
    """The session with a peer; None if the speaker does not answer."""
    sessions = report.sessions if report else []
    return next((session for session in sessions if session.peer == peer.host), None)


def agreed(session: Session | None, kind: Kind, family: int) -> bool:
    """Whether a session carries routes of that kind; True if that is not known."""
    needed = f"ipv{family} {'flow' if kind is Kind.FLOWSPEC else 'unicast'}"
    return session is None or not session.families or needed in session.families


def _forget(draft: Draft, announcement: Announcement, why: str) -> None:
    """Drop a proposal, also one that was declined."""
    if announcement.declined:
        draft.announcements[announcement.id] = None
    else:
        announcements.withdraw(draft, announcement.id, None, why)
