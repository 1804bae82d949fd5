# SPDX-License-Identifier: GPL-2.0-or-later
"""Watches whether an uplink is full: then it is too late to drop packets here."""

import logging
from collections.abc import Callable, Iterator

import numpy as np

from xdpctl.base.durations import show_duration
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.periodic import PeriodicTask
from xdpctl.base.units import si3
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.incidents.ledger.by_hand import remark
from xdpctl.model.incident import Incident
from xdpctl.notify.changes import News
from xdpctl.notify.settings import Kind
from xdpctl.series import figures
from xdpctl.upstream.announcements import refusal
from xdpctl.upstream.filling import LEAST_SHARE, NOTHING, Filling
from xdpctl.upstream.letter import letter
from xdpctl.upstream.link import FRAME_BYTES, UNKNOWN, Link, Reading
from xdpctl.upstream.request import MEANS, Option, Request, divert, diverted, options, requests
from xdpctl.upstream.settings import Uplink, UpstreamSettings
from xdpctl.watch.filled import Filled, subject

_SECONDS, _NOTE_SECONDS = 1.0, 600.0
_TROUBLE = "the uplinks are not watched"
log = logging.getLogger("xdpctl.upstream")


class UplinkWatch:
    """Judges each uplink once a second; `tell` is called with what people should hear of."""

    def __init__(
        self,
        controller: Controller,
        settings: UpstreamSettings,
        tell: Callable[[News], None],
        filled: Filled,
    ) -> None:
        self.filled = filled
        self._controller, self.settings, self._tell = controller, settings, tell
        self.became_full: Callable[[], None] = lambda: None  # called after its victims are known
        self._rates = figures.Rates()
        self.links = {uplink.interface: Link(uplink) for uplink in settings.uplinks}
        self.absent: tuple[str, ...] = ()
        # by open incident: the Unix time of its last note that an uplink is full, and whether a
        # note that it is free has followed
        self._noted: dict[str, tuple[float, bool]] = {}
        self._beat = PeriodicTask("uplinks", _SECONDS, self.step, _TROUBLE)

    def start(self) -> None:
        """Start watching; without uplinks there is nothing to do."""
        if self.links:
            self._beat.start()

    def stop(self) -> None:
        self._beat.stop()

    def step(self, now: float) -> None:
        """Read each uplink, and say what has changed."""
        counters = self._controller.datapath.counters()
        self.absent = tuple(name for name in self.links if name not in counters)
        fresh = False
        for name, link in self.links.items():
            was = link.state
            link.add(
                self._reading(link.uplink, now, counters[name]) if name in counters else UNKNOWN
            )
            if bool(was.full_for) != bool(link.state.full_for):
                self._changed(link, was.full_for)
                fresh = fresh or not was.full_for
        for link in self.links.values():
            if link.state.full_for:
                self.filled.report(link.uplink, link.state.why, now)
        if fresh:
            self.became_full()

    def _reading(self, uplink: Uplink, now: float, counters: figures.Counters) -> Reading:
        """The rates of the last second; the filter counts each packet before it drops any."""
        name = uplink.interface
        sent_so_far = figures.sent(name) if uplink.bits_out else (np.nan, np.nan)
        more_counts = (figures.driver_drops(name), *sent_so_far)
        counts = np.append(figures.counts(counters), more_counts)
        rates = self._rates.of(name, now, counts).astype(float)
        packets = float(rates[0] + rates[2])
        bits = float(rates[1] + rates[3]) + 8 * FRAME_BYTES * packets
        lost, sent_packets, sent_bytes = map(float, rates[-3:])
        sent = 8 * (sent_bytes + FRAME_BYTES * sent_packets)
        return Reading(packets, bits, lost, float(rates[2]), sent)

    def _changed(self, link: Link, lasted: int) -> None:
        """Write the change into the audit log, open incidents and the log, and notify people."""
        name, state = link.uplink.interface, link.state
        text = self._text(link, lasted)
        share = None if np.isnan(state.share) else round(state.share, 3)
        self._controller.submit(
            lambda draft: self._note(draft, name, text, full=bool(state.full_for), share=share)
        )
        if state.full_for:
            log.error("%s", text)
            title = f"uplink {name} is full"
            self._tell(News(Kind.ESCALATED, f"uplink {name}", title, text, lasts=True))
        else:
            log.info("%s", text)
            title = f"uplink {name} is not full any more"
            self._tell(News(Kind.ESCALATED, f"uplink {name}", title, text, over=True))

    @staticmethod
    def _text(link: Link, lasted: int) -> str:
        name, state = link.uplink.interface, link.state
        if not state.full_for:
            return f"the uplink {name} is not full any more, after {show_duration(lasted)}"
        return (
            f"the uplink {name} is full: {state.why}. What is dropped here comes too late: ask the "
            "provider. xdpctl upstream status"
        )

    def letter(self, incident: Incident) -> str:
        """A letter about an incident to the provider of the fullest uplink; "" without any."""
        uplink, victim = self.fullest(), subject(incident)
        if uplink is None:
            return ""
        found, state = self.filled.of(uplink) or NOTHING, self.links[uplink.interface].state
        asked = requests(found, victim, uplink) if victim else []
        return letter(incident, victim, found, asked, uplink, state, self.settings)

    def compared(self, incident: Incident) -> tuple[list[Request], list[Option]]:
        """What to ask of any provider about an incident, and what else can be done."""
        uplink, victim = self.fullest(), subject(incident)
        if uplink is None or victim is None:
            return [], []
        found = self.filled.of(uplink) or NOTHING
        asked = requests(found, victim, uplink)
        asked += self._diversions(found, victim, uplink)
        asked.sort(key=lambda request: MEANS.index(request.kind))
        return asked, options(found, victim, asked, uplink)

    def _diversions(self, found: Filling, victim: Prefix, uplink: Uplink) -> Iterator[Request]:
        """What the scrubbing centres of an uplink could do."""
        protection = self._controller.state.protection
        for peer in self.settings.peers:
            if peer.announces and self.settings.uplink_of(peer) == uplink:
                prefix = diverted(peer, victim)
                request = divert(found, prefix, peer) if prefix else None
                if request and not refusal(request.route, peer, self.settings, protection):
                    yield request

    def fullest(self) -> Uplink | None:
        """The uplink with the highest share; the first one if none is known."""
        links = list(self.links.values())
        ranked = sorted(links, key=lambda link: -np.nan_to_num(link.state.share))
        return ranked[0].uplink if ranked else None

    def full(self) -> list[str]:
        """The uplinks that are full, a sentence each."""
        return [
            f"the uplink {name} is full: {link.state.why}; {self._advice(link.uplink)}"
            for name, link in self.links.items()
            if link.state.full_for
        ]

    def _advice(self, uplink: Uplink) -> str:
        """What to do about a full uplink."""
        found = self.filled.of(uplink)
        if found is not None and found.judged and found.attack < LEAST_SHARE * uplink.bits_in:
            return "known flows fill it, so people do: put off what can wait, such as backups"
        peers = self.settings.peers
        if not any(p.announces and self.settings.uplink_of(p) == uplink for p in peers):
            return "no BGP peer can be asked, so send the provider the letter on the page Upstream"
        return "see xdpctl upstream status"

    def warnings(self) -> list[str]:
        """What is wrong with the uplinks, a sentence each."""
        warnings = [
            f"the uplink {name} is not filtered: add it to interfaces" for name in self.absent
        ]
        warnings += self.full()
        for name, link in self.links.items():
            state = link.state
            if state.full_out_for and link.uplink.bits_out:
                warnings.append(
                    f"what goes out fills the uplink {name} ({state.share_out:.0%} of "
                    f"{si3(link.uplink.bits_out)}bit/s): answers to people are late. The provider "
                    "cannot help; find who sends it, and limit that"
                )
            if state.rate_is_wrong:
                rate = si3(link.uplink.bits_in)
                warnings.append(
                    f"{state.most:.0%} of {rate}bit/s came on {name}, so its rate is higher: "
                    "correct bits_in of upstream.uplinks"
                )
        return warnings

    def _note(self, draft: Draft, name: str, text: str, **details: object) -> None:
        """Write a note into the audit log, and into the story of each open incident.

        A link may fill and clear many times, so an incident gets a pair of notes now and then.
        """
        full, now = bool(details["full"]), draft.now.unix
        draft.note("xdpctl", "uplink.full" if full else "uplink.free", name, **details)
        noted: dict[str, tuple[float, bool]] = {}
        for incident in draft.incidents.values():
            if not incident.open:
                continue
            at, over = self._noted.get(incident.id, (0.0, True))
            if (over and now - at >= _NOTE_SECONDS) if full else not over:
                at, over = now if full else at, not full
                remark(draft, incident.id, text, "xdpctl")
            noted[incident.id] = at, over
        self._noted = noted
