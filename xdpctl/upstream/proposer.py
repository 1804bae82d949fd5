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
from xdpctl.notify.changes import News
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
    """Proposes for each open incident; `asked` says what to ask about one, `tell` notifies people.

    `failed` are incidents in which FlowSpec did not help, so that a blackhole is proposed.
    """

    controller: Controller
    settings: UpstreamSettings
    speaker: Speaker
    asked: Callable[[Incident], list[Request]]
    tell: Callable[[News], None]
    failed: set[str] = field(default_factory=set)
    problem: str = ""

    def step(self, full: bool) -> None:
        """Propose if a link is full; forget proposals about what is over."""
        self.problem = ""
        state = self.controller.state
        opened = {key: each for key, each in list(state.incidents.items()) if each.open}
        self.failed &= opened.keys()
        listed = list(state.announcements.values())
        now = self.controller.clock.read().ns
        over = [e for e in listed if not e.announced and e.incident not in opened]
        stale = [e for e in over if (e.expires_ns <= now if e.declined else e.incident)]
        known = {each.id for each in listed}
        wanted = [
            (incident, peer, requests)
            for incident in (opened.values() if full else ())
            for peer, requests in self.wanted(incident)
            if _anything_new(peer, requests, known)
        ]
        if not (stale or wanted):
            return

        def operation(draft: Draft) -> list[Announcement]:
            for each in stale:
                _forget(draft, each)
            made: list[Announcement] = []
            for incident, peer, requests in wanted:
                made += self._propose(draft, peer, requests, incident.id)
            return [each for each in made if not self._sent_by_policy(draft, each)]

        for each in self.controller.submit(operation).result(10):
            self._tell(each)

    def _propose(
        self, draft: Draft, peer: Peer, requests: list[Request], incident: str
    ) -> list[Announcement]:
        """Propose to one peer; that too many wait is said, and does not undo the rest."""
        try:
            return announcements.propose(draft, peer, requests, incident, None, self.settings)
        except QuotaError as error:
            self.problem = str(error)
            return []

    def wanted(self, incident: Incident) -> list[tuple[Peer, list[Request]]]:
        """What to ask of each peer: FlowSpec; a blackhole if that cannot be, or did not help."""
        protection = self.controller.state.protection
        requests = [
            request
            for request in self.asked(incident)
            if not announcements.refusal(request.victim, self.settings, protection)
        ]
        found = []
        for peer in self.settings.peers:
            flows = [r for r in requests if r.kind is Kind.FLOWSPEC and self._takes(peer, r)]
            last = not flows or incident.id in self.failed
            holes = [r for r in requests if r.kind is Kind.RTBH and self._takes(peer, r)]
            holes = holes if last else []
            if peer.announces:
                found.append((peer, flows + holes))
        return found

    def _takes(self, peer: Peer, request: Request) -> bool:
        """Whether a peer takes routes of that kind and family, as far as is known."""
        return for_peer(request, peer) is not None and agreed(
            session_of(self.speaker.report, peer), request.kind, request.victim.family
        )

    def _sent_by_policy(self, draft: Draft, each: Announcement) -> bool:
        """Approve a FlowSpec route for a peer in mode `auto`; a blackhole waits for a person."""
        peer = self.settings.peer(each.peer)
        if peer is None or peer.mode is not PeerMode.AUTO or each.kind is not Kind.FLOWSPEC:
            return False
        if announcements.policy_stopped(draft) or announcements.needs_word(
            each, draft.state.protection
        ):
            return False
        try:
            announcements.approve(draft, each.id, None, "", self.settings)
        except RuleError as error:
            log.warning("%s is not sent by policy: %s", each.id, error)
            return False
        return True

    def _tell(self, each: Announcement) -> None:
        title = f"proposed: ask {each.peer} to {each.what}"
        text = f"{title}. Cost: {each.cost}\nxdpctl upstream approve {each.id}"
        self.tell(News(NewsKind.ESCALATED, each.id, title, text))


def session_of(report: Report | None, peer: Peer) -> Session | None:
    """The session with a peer; None if the speaker does not answer."""
    sessions = report.sessions if report else []
    return next((each for each in sessions if each.peer == peer.host), None)


def agreed(session: Session | None, kind: Kind, family: int) -> bool:
    """Whether a session carries routes of that kind; also if it is not known."""
    needed = f"ipv{family} {'flow' if kind is Kind.FLOWSPEC else 'unicast'}"
    return session is None or not session.families or needed in session.families


def _forget(draft: Draft, each: Announcement) -> None:
    """Drop a proposal about an attack that is over, also one that was declined."""
    if each.declined:
        draft.announcements[each.id] = None
    else:
        announcements.withdraw(draft, each.id, None, "the attack is over")


def _anything_new(peer: Peer, requests: list[Request], known: set[str]) -> bool:
    taken = (request for request in requests if for_peer(request, peer))
    return any(announcements.identity(peer.name, request) not in known for request in taken)
