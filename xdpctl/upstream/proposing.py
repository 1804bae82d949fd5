# SPDX-License-Identifier: GPL-2.0-or-later
"""Proposes what could help while a link is full, the least costly first."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.errors import RuleError
from xdpctl.model.announcement import Announcement, Kind
from xdpctl.model.incident import Incident
from xdpctl.notify.changes import News
from xdpctl.notify.settings import Kind as NewsKind
from xdpctl.upstream import announcing
from xdpctl.upstream.bgp.messages import Report, Session
from xdpctl.upstream.bgp.speaker import Speaker
from xdpctl.upstream.peers import Peer, PeerMode
from xdpctl.upstream.request import Request, route_for
from xdpctl.upstream.settings import UpstreamSettings

_POLICY = "policy"
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

    def step(self, full: bool, by: str) -> None:
        """Propose if a link is full; forget proposals about what is over."""
        state = self.controller.state
        opened = {key: each for key, each in list(state.incidents.items()) if each.open}
        self.failed &= opened.keys()
        listed = list(state.announcements.values())
        stale = [e for e in listed if not e.announced and e.incident and e.incident not in opened]
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
                announcing.withdraw(draft, each.id, by, "the attack is over")
            made: list[Announcement] = []
            for incident, peer, requests in wanted:
                made += announcing.propose(draft, peer, requests, incident.id, by, self.settings)
            return [each for each in made if not self._sent_by_policy(draft, each)]

        for each in self.controller.submit(operation).result(10):
            self._tell(each)

    def wanted(self, incident: Incident) -> list[tuple[Peer, list[Request]]]:
        """What to ask of each peer: FlowSpec; a blackhole if that cannot be, or did not help."""
        requests = self.asked(incident)
        found = []
        for peer in self.settings.peers:
            flows = [r for r in requests if r.kind is Kind.FLOWSPEC and self._takes(peer, r)]
            last = not flows or incident.id in self.failed
            holes = [r for r in requests if r.kind is Kind.RTBH] if last else []
            if peer.announces:
                found.append((peer, flows + holes))
        return found

    def _takes(self, peer: Peer, request: Request) -> bool:
        """Whether a peer takes FlowSpec routes of that family, as far as is known."""
        session = session_of(self.speaker.report, peer)
        if session is None or not session.families:
            return peer.flowspec
        return peer.flowspec and f"ipv{request.victim.family} flow" in session.families

    def _sent_by_policy(self, draft: Draft, each: Announcement) -> bool:
        """Approve a FlowSpec route for a peer in mode `auto`; a blackhole waits for a person."""
        peer = self.settings.peer(each.peer)
        if peer is None or peer.mode is not PeerMode.AUTO or each.kind is not Kind.FLOWSPEC:
            return False
        if announcing.needs_word(each, draft.state.protection):
            return False
        try:
            announcing.approve(draft, each.id, _POLICY, "", self.settings)
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


def _anything_new(peer: Peer, requests: list[Request], known: set[str]) -> bool:
    routes = (route_for(request, peer) for request in requests)
    return any(route and announcing.identity(peer.name, route) not in known for route in routes)
