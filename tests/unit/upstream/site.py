# SPDX-License-Identifier: GPL-2.0-or-later
"""A site whose link the test fills: an announcer, a proposer, and a speaker that only listens."""

from tests.support.fakes import ROOT, FakeClock
from tests.support.flooded import amplified, earlier, filled, packets, people
from tests.support.upstream import FakeSpeaker
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.incidents.ledger.by_hand import open_incident
from xdpctl.model.announcement import Announcement
from xdpctl.model.event import Attack
from xdpctl.model.incident import Incident
from xdpctl.model.match.match import Match
from xdpctl.model.route import Kind
from xdpctl.notify.changes import News
from xdpctl.upstream.announcer import Announcer
from xdpctl.upstream.link import Link, Reading
from xdpctl.upstream.peers import Peer
from xdpctl.upstream.proposer import Proposer
from xdpctl.upstream.request import Request, requests
from xdpctl.upstream.settings import Uplink, UpstreamSettings


def asked_about(victim: str, settings: UpstreamSettings, peer: Peer | None = None) -> list[Request]:
    """The requests of a peer about DNS answers to a victim."""
    usual = earlier(packets(50, victim, source_port=5_000))
    found = filled(people(to=victim), amplified(to=victim), before=usual)
    takes = peer or settings.peers[0]
    return requests(found, parse_prefix(victim, "victim"), settings.uplinks[0], takes)


def opened(control: Controller, victim: str = "198.51.100.99") -> Incident:
    prefix = parse_prefix(victim, "victim")
    return control.submit(
        lambda draft: open_incident(draft, prefix, Attack.UDP_FLOOD, "", ROOT, control.hits)
    ).result(5)


class Site:
    """An announcer with a link that the test fills, and a speaker that does what it is told."""

    def __init__(self, control: Controller, settings: UpstreamSettings, clock: FakeClock) -> None:
        self.control, self.clock, self.seconds = control, clock, 100.0
        self.settings, self.idle, self.shares = settings, False, list[tuple[float, float]]()
        self.speaker, self.link = FakeSpeaker(), Link(settings.uplinks[0])
        self.told: list[News] = []
        proposer = Proposer(
            control,
            settings,
            self.speaker,
            self._asked,
            lambda _: self.idle,
            self.told.append,
        )
        links = {settings.uplinks[0].interface: self.link}
        self.announcer = Announcer(
            control, settings, self.speaker, proposer, links, self._rates, self.told.append
        )

    def _asked(self, incident: Incident, peer: Peer, _: bool) -> list[Request]:
        return asked_about(incident.subject, self.settings, peer)

    def _rates(self, _: Uplink, match: Match, begun: float, ended: float) -> list[float]:
        """Two values for each second in which the link was as full as that, of the last minute."""
        bits = self.link.uplink.bits_in
        return [
            share * bits for at, share in self.shares[-60:] for _ in (0, 1) if begun < at <= ended
        ]

    def pass_by(self, seconds: int, share: float = 0.1) -> None:
        """Let seconds pass in which this share of the link's rate arrives."""
        for _ in range(seconds):
            self.seconds += 1
            self.clock.ns += 10**9
            self.clock.unix += 1
            bits = share * self.link.uplink.bits_in
            self.shares.append((self.seconds, share))
            self.link.add(Reading(1_000, bits, 0, 900))
            self.announcer.step(self.seconds)

    @property
    def routes(self) -> list[Kind]:
        return [each.route.kind for each in self.speaker.announced]


def proposed(site: Site) -> Announcement:
    """Fill the link until there is a proposal; return it."""
    site.pass_by(5, share=1.0)
    (found,) = site.control.state.announcements.values()
    return found
