# SPDX-License-Identifier: GPL-2.0-or-later
"""A site whose link the test fills: an announcer, a proposer, and a speaker that only listens."""

from tests.support.fakes import ROOT, FakeClock
from tests.support.upstream import FakeSpeaker
from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.controller import Controller
from xdpctl.incidents.ledger.by_hand import open_incident
from xdpctl.model.announcement import Announcement
from xdpctl.model.event import Attack
from xdpctl.model.incident import Incident
from xdpctl.model.match.text import parse
from xdpctl.model.route import Kind
from xdpctl.notify.changes import News
from xdpctl.upstream.announcer import Announcer
from xdpctl.upstream.link import Link, Reading
from xdpctl.upstream.proposer import Proposer
from xdpctl.upstream.request import Dropped, Request, requests
from xdpctl.upstream.settings import UpstreamSettings


def asked_about(victim: str, settings: UpstreamSettings) -> list[Request]:
    dropped = [Dropped(parse("udp src-port 53"), 1_000, spares=True)]
    return requests(parse_prefix(victim, "victim"), dropped, settings.uplinks[0])


def opened(control: Controller, victim: str = "198.51.100.99") -> Incident:
    prefix = parse_prefix(victim, "victim")
    return control.submit(
        lambda draft: open_incident(draft, prefix, Attack.UDP_FLOOD, "", ROOT, control.hits)
    ).result(5)


class Site:
    """An announcer with a link that the test fills, and a speaker that does what it is told."""

    def __init__(self, control: Controller, settings: UpstreamSettings, clock: FakeClock) -> None:
        self.control, self.clock, self.seconds = control, clock, 0.0
        self.speaker, self.link = FakeSpeaker(), Link(settings.uplinks[0])
        self.told: list[News] = []
        proposer = Proposer(
            control,
            settings,
            self.speaker,
            lambda incident: asked_about(incident.subject, settings),
            self.told.append,
        )
        self.announcer = Announcer(
            control, settings, self.speaker, proposer, lambda: [self.link], self.told.append
        )

    def pass_by(self, seconds: int, share: float = 0.1) -> None:
        """Let seconds pass in which this share of the link's rate arrives."""
        for _ in range(seconds):
            self.seconds += 1
            self.clock.ns += 10**9
            self.clock.unix += 1
            bits = share * self.link.uplink.bits_in
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
