# SPDX-License-Identifier: GPL-2.0-or-later
"""Proposes what could help while a link is full, the least costly first."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.errors import QuotaError, RuleError
from xdpctl.model.announcement import Announcement
from xdpctl.model.incident import Incident
from xdpctl.model.route import Kind
from xdpctl.notify.changes import News, Severity
from xdpctl.notify.settings import Kind as NewsKind
from xdpctl.upstream import announcements
from xdpctl.upstream.bgp.messages import Report, Session
from xdpctl.upstream.bgp.speaker import Speaker
from xdpctl.upstream.peers import Peer, PeerMode
from xdpctl.upstream.request import Request, for_peer
from xdpctl.upstream.settings import UpstreamSettings

log = logging.getLogger("xdpctl.upstream")


@dataclass(slots=True)
class Proposer:
    """Proposes for each open incident. `asked` returns an incident's requests; `tell` notifies.

    `failed` has incidents in which FlowSpec did not help, so that a blackhole is proposed.
    """

    controller: Controller
    settings: UpstreamSettings
    speaker: Speaker
    asked: Callable[[Incident], list[Request]]
    tell: Callable[[News], None]
    failed: set[str] = field(default_factory=set)
    problem: str = ""

    def step(self, full: bool) -> None:
        """Propose if a link is full; drop proposals whose attack is over."""
        self.problem = ""
        state = self.controller.state
        opened = {key: incident for key, incident in list(state.incidents.items()) if incident.open}
        self.failed &= opened.keys()
        records = list(state.announcements.values())
        now = self.controller.clock.read().ns
        over = [e for e in records if not e.announced and e.incident not in opened]
        stale = [e for e in over if (e.expires_ns <= now if e.declined else e.incident)]
        known_ids = {announcement.id for announcement in records}
        wanted = [
            (incident, peer, requests)
            for incident in (opened.values() if full else ())
            for peer, requests in self.wanted(incident)
            if _anything_new(peer, requests, known_ids)
        ]
        if not (stale or wanted):
            return

        def operation(draft: Draft) -> list[Announcement]:
            for announcement in stale:
                _forget(draft, announcement)
            proposals: list[Announcement] = []
            for incident, peer, requests in wanted:
                proposals += self._propose(draft, peer, requests, incident.id)
            return [proposal for proposal in proposals if not self._sent_by_policy(draft, proposal)]

        for proposal in self.controller.submit(operation).result(10):
            self._tell(proposal)

    def _propose(
        self, draft: Draft, peer: Peer, requests: list[Request], incident: str
    ) -> list[Announcement]:
        """Propose to one peer; if too many proposals wait, set `problem`, and go on."""
        try:
            return announcements.propose(draft, peer, requests, incident, None, self.settings)
        except QuotaError as error:
            self.problem = str(error)
            return []

    def wanted(self, incident: Incident) -> list[tuple[Peer, list[Request]]]:
        """The requests for each peer: FlowSpec; a blackhole if that is impossible or failed."""
        protection = self.controller.state.protection
        requests = [
            request
            for request in self.asked(incident)
            if not announcements.refusal(request.victim, self.settings, protection)
        ]
        offers = []
        for peer in self.settings.peers:
            flows = [r for r in requests if r.kind is Kind.FLOWSPEC and self._takes(peer, r)]
            last = not flows or incident.id in self.failed
            holes = [r for r in requests if r.kind is Kind.RTBH and self._takes(peer, r)]
            holes = holes if last else []
            if peer.announces:
                offers.append((peer, flows + holes))
        return offers

    def _takes(self, peer: Peer, request: Request) -> bool:
        """Whether a peer takes routes of that kind and family, as far as is known."""
        return for_peer(request, peer) is not None and agreed(
            session_of(self.speaker.report, peer), request.kind, request.victim.family
        )

    def _sent_by_policy(self, draft: Draft, proposal: Announcement) -> bool:
        """Approve a FlowSpec route for a peer in mode `auto`; a blackhole waits for a person."""
        peer = self.settings.peer(proposal.peer)
        if peer is None or peer.mode is not PeerMode.AUTO or proposal.kind is not Kind.FLOWSPEC:
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


def session_of(report: Report | None, peer: Peer) -> Session | None:
    """The session with a peer; None if the speaker does not answer."""
    sessions = report.sessions if report else []
    return next((session for session in sessions if session.peer == peer.host), None)


def agreed(session: Session | None, kind: Kind, family: int) -> bool:
    """Whether a session carries routes of that kind; True if that is not known."""
    needed = f"ipv{family} {'flow' if kind is Kind.FLOWSPEC else 'unicast'}"
    return session is None or not session.families or needed in session.families


def _forget(draft: Draft, announcement: Announcement) -> None:
    """Drop a proposal about an attack that is over, also one that was declined."""
    if announcement.declined:
        draft.announcements[announcement.id] = None
    else:
        announcements.withdraw(draft, announcement.id, None, "the attack is over")


def _anything_new(peer: Peer, requests: list[Request], known_ids: set[str]) -> bool:
    accepted = (request for request in requests if for_peer(request, peer))
    return any(announcements.identity(peer.name, request) not in known_ids for request in accepted)
