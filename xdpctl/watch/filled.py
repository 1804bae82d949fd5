# SPDX-License-Identifier: GPL-2.0-or-later
"""What fills the uplinks: towards whom, what to ask about it, and an incident for each victim."""

from collections.abc import Callable, Collection

import numpy as np

from xdpctl.abi.constants import Traffic
from xdpctl.base.net.prefix import Prefix, parse_prefix
from xdpctl.base.units import si3
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.detectors.formats.builtin import ATTACKS
from xdpctl.errors import RuleError
from xdpctl.incidents.ledger.attribution import ReportedEvent
from xdpctl.incidents.ledger.ledger import event_began, find_or_open
from xdpctl.model import tags
from xdpctl.model.announcement import Announcement
from xdpctl.model.event import Attack, Event, Phase
from xdpctl.model.incident import Incident
from xdpctl.model.match.match import Match
from xdpctl.model.route import Kind
from xdpctl.traffic.baseline import Before
from xdpctl.traffic.sampler import Sampler
from xdpctl.traffic.select import takes_any
from xdpctl.traffic.window import Seen
from xdpctl.upstream.effects import PART
from xdpctl.upstream.filling import LEAST_SHARE, NOTHING, SECONDS, Filling, filling, victims
from xdpctl.upstream.peers import Peer, Takes
from xdpctl.upstream.request import ANYBODY, AT_ONCE, Request, requests
from xdpctl.upstream.routes import LITTLE
from xdpctl.upstream.settings import Uplink, UpstreamSettings
from xdpctl.watch.flows import index_of

ORIGIN = "uplink"  # the detector of incidents that are opened because a link is full
_LASTS, _AGAIN_SECONDS = 600.0, 60.0  # of such an incident, and between its reports
_OPEN_MAX = 32  # open incidents of that kind
_KEPT_SECONDS = 0.5  # for which one look at a link serves all
_AGO_SECONDS = 2_100.0  # that far back, give or take half an hour, traffic is as usual
_EVERYTHING = tuple(parse_prefix(text, "own") for text in ("0.0.0.0/0", "::/0"))


class Filled:
    """Looks at the packets that a sampler has seen in the last seconds."""

    def __init__(
        self,
        controller: Controller,
        settings: UpstreamSettings,
        sampler: Sampler,
        index: Callable[[str], int | None] = index_of,
    ) -> None:
        self._controller, self._settings = controller, settings
        self._sampler, self._index = sampler, index
        self._reported: dict[str, float] = {}  # by victim, when an incident was last reported
        self._looked: dict[str, tuple[float, Filling]] = {}  # by uplink, and when

    def of(self, uplink: Uplink) -> Filling | None:
        """What came through an uplink just now; None if nothing is observed."""
        index, seen = self._index(uplink.interface), self._sampler.last(SECONDS)
        if index is None or seen is None:
            return None
        at, found = self._looked.get(uplink.interface, (-np.inf, NOTHING))
        if seen.ended > at + _KEPT_SECONDS:
            found = filling(seen, self._sampler.baseline.ago(seen.ended, _AGO_SECONDS), index)
            self._looked[uplink.interface] = seen.ended, found
        return found

    def asked(self, incident: Incident, uplink: Uplink, takes: Takes = ANYBODY) -> list[Request]:
        """What to ask about an incident, in the forms that a router takes."""
        victim, found = subject(incident), self.of(uplink) or NOTHING
        return requests(found, victim, uplink, takes) if victim else []

    def more(self, incident: Incident, peer: Peer, failed: bool) -> list[Request]:
        """What a peer can be asked about what fills its link, and was not asked yet.

        If that has `failed`, all that it can be asked.
        """
        uplink, wanted = self._settings.uplink_of(peer), subject(incident)
        found = self.of(uplink) if uplink else None
        if uplink is None or found is None or wanted is None:
            return []
        if found.towards(wanted).attack < LEAST_SHARE * uplink.bits_in:
            return []
        asked = [e for e in self._announcements() if e.peer == peer.name]
        covered = [] if failed else [e for e in asked if e.kind is Kind.FLOWSPEC]
        left = found.without([entry.route.takes for entry in covered])
        room = min(AT_ONCE, peer.most - sum(e.announced for e in asked))
        return [
            request
            for victim in victims(left, [wanted], uplink.bits_in)
            for request in requests(left, victim, uplink, peer, room)
        ]

    def idle(self, announcement: Announcement) -> bool:
        """Whether an announcement takes nothing of what fills the link of its peer."""
        peer = self._settings.peer(announcement.peer)
        uplink = self._settings.uplink_of(peer) if peer else None
        found = self.of(uplink) if uplink else None
        if found is None:
            return False
        hit = takes_any([announcement.route.takes], found.others.packets)
        return float(found.others.mass[hit].sum()) < LITTLE * found.others.total

    def rates(self, uplink: Uplink, match: Match, begun: float, ended: float) -> list[float]:
        """The bits a second that a match took between two monotonic times, part by part."""
        index = self._index(uplink.interface)
        if index is None or self._sampler.last(PART) is None:
            return []
        parts = self._sampler.window.parts(begun, ended, PART)
        return [_rate(part, index, match) for part in parts]

    def report(self, uplink: Uplink, why: str, now: float) -> None:
        """Open an incident for each victim of what fills an uplink, or prolong the one it has."""
        found = self.of(uplink)
        if found is None:
            return
        own = self._settings.own or _EVERYTHING
        due = [
            prefix
            for prefix in victims(found, own, uplink.bits_in)
            if now >= self._reported.get(str(prefix), -np.inf) + _AGAIN_SECONDS
        ]
        events = [_event(found, prefix, uplink, why) for prefix in due]
        if events:
            self._controller.submit(lambda draft: self._begin(draft, events)).result(10)
        recent = {k: at for k, at in self._reported.items() if at > now - _LASTS}
        self._reported = recent | {str(prefix): now for prefix in due}

    def _begin(self, draft: Draft, events: Collection[Event]) -> None:
        for event in events:
            opened = [i for i in draft.incidents.values() if i.open and _covers(i, event.victim)]
            if opened and not any(ORIGIN in incident.detectors for incident in opened):
                continue  # a detector or a person has opened one, and closes it
            mine = [i for i in draft.incidents.values() if i.open and ORIGIN in i.detectors]
            if not opened and len(mine) >= _OPEN_MAX:
                continue  # who moves from victim to victim fills neither the list nor the log
            reported = ReportedEvent(event, ORIGIN, tags.event(event.id, ORIGIN), ttl=_LASTS)
            incident = find_or_open(draft, reported, self._controller.hits)
            event_began(draft, incident, reported, ())
            if not opened:
                draft.note("xdpctl", "incident.open", incident.id, victim=str(event.victim))

    def _announcements(self) -> list[Announcement]:
        return list(self._controller.state.announcements.values())


def subject(incident: Incident) -> Prefix | None:
    """The victim of an incident; None if its subject is no prefix."""
    try:
        return parse_prefix(incident.subject, "subject")
    except RuleError:
        return None


def _covers(incident: Incident, victim: Prefix | None) -> bool:
    prefix = subject(incident)
    return prefix is not None and victim is not None and prefix.covers(victim)


def _rate(part: Seen, index: int, match: Match) -> float:
    found = filling(part, Before(part.packets[:0], 0.0), index)
    sides = (found.others, found.people)
    return sum(float(side.mass[takes_any([match], side.packets)].sum()) for side in sides)


def _event(found: Filling, victim: Prefix, uplink: Uplink, why: str) -> Event:
    """The report of an attack that fills a link; its type is that of most bytes."""
    inside = found.towards(victim)
    kinds = np.bincount(inside.others.packets["traffic"], inside.others.mass, len(Traffic))
    attack = ATTACKS.get(Traffic(int(np.argmax(kinds))), Attack.UNKNOWN)
    pps = float(inside.others.packets["weight"].sum()) / found.seconds if found.seconds else 0.0
    return Event(
        phase=Phase.BEGAN,
        id=f"{uplink.interface}-{victim}".replace("/", "_").replace(":", "."),
        victim=victim,
        attack=Attack.UDP_FLOOD if attack is Attack.AMPLIFICATION else attack,
        pps=round(pps),
        bps=round(inside.attack),
        note=f"the uplink {uplink.interface} is full: {why}; {si3(inside.attack)}bit/s go there",
    )
