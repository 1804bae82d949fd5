# SPDX-License-Identifier: GPL-2.0-or-later
"""The health of this host: its condition in one word, problems, warnings, and fill levels."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from msgspec import structs

from xdpctl.config.settings import Settings
from xdpctl.control.controller import Controller
from xdpctl.flood.mitigations import TAKEN_BACK
from xdpctl.flood.settings import Most
from xdpctl.lists.refresher import Refresher
from xdpctl.mitigation.hooks import Hooks
from xdpctl.model.effect import Automatic, Mode
from xdpctl.model.incident import Incident
from xdpctl.model.rule import BUILTIN, automatic
from xdpctl.notify.changes import Snapshot
from xdpctl.processes.detector.status import read_status
from xdpctl.processes.parts import Parts
from xdpctl.series.recorder import SeriesRecorder
from xdpctl.traffic.counted import rates_of_slots
from xdpctl.traffic.sampler import Sampler
from xdpctl.traffic.unread import unread
from xdpctl.traffic.unusual import Look, Unusual
from xdpctl.watch import readiness
from xdpctl.watch.condition import Condition, People, condition, overload, passing, people_of
from xdpctl.watch.loader_report import LoaderReport
from xdpctl.watch.uplinks import UplinkWatch
from xdpctl.watch.waiting import Decisions, decisions, waits

_UNREAD_SECONDS, _HITS_SECONDS = 10.0, 4.0
_DETECTOR_SECONDS = 20.0  # in which the detector starts


@dataclass(slots=True, kw_only=True)
class Health:
    """Asks the parts of a control plane, each time anew."""

    controller: Controller
    settings: Settings
    started: float
    loader: Callable[[], LoaderReport | None]
    parts: Parts
    refresher: Refresher
    hooks: Hooks
    sampler: Sampler
    unusual: Unusual
    series: SeriesRecorder
    uplinks: UplinkWatch
    tell: Callable[[str], str]

    def condition(self) -> tuple[Look, Condition]:
        """What is unusual in the traffic, and the condition of this host."""
        look = self.unusual.look()
        if self.sampler.late(time.monotonic()):
            look = replace(look, seconds=0.0)
        bypass = self.controller.datapath.bypass()
        full = [*self.uplinks.full(), *overload(self.series.latest)]
        decided = self._decisions()
        look = replace(look, matches=[m for m in look.matches if not decided.explains(m)])
        if decided.seconds and not look.compared:  # what came earlier is of all matches
            look = replace(look, unknown=decided.unknown)
        people = replace(self._people(), passing=passing(decided.waiting))
        found = condition(look, bypass, self.loader(), full, people)
        reasons = [self.tell(reason) for reason in found.reasons]
        return look, Condition(found.state, reasons, decided.waiting)

    def _decisions(self) -> Decisions:
        """What waits for a decision now, and the packets of which nobody has decided."""
        sample = self.sampler.last(_HITS_SECONDS)
        if not sample or not sample.seconds:
            return Decisions()
        hit = rates_of_slots(sample.packets, sample.seconds)
        every, whom = list(self.controller.state.matches.values()), self.controller.state.collateral
        rules = [r for r in every if waits(r, whom.get(r.id)) and self._observes(r.origin)]
        at_work = [r for r in every if r.mode is Mode.ENFORCE and r.slot in hit and automatic(r)]
        return decisions(rules, at_work, sample.packets, sample.seconds)

    def _observes(self, detector: str) -> bool:
        """Whether a detector's rules are in monitor mode until somebody enforces them."""
        observing = self.settings.detect.mode is Most.OBSERVE and detector == BUILTIN
        return observing or self.hooks.mode_for(detector) is Automatic.OBSERVE

    def _people(self) -> People:
        """Whether people are served."""
        served = self.sampler.served
        sample = self.sampler.last(_HITS_SECONDS)
        rates = rates_of_slots(sample.packets, sample.seconds) if sample and sample.seconds else {}
        findings = {
            finding.rule: finding.finding
            for incident in list(self.controller.state.incidents.values())
            if incident.open
            for finding in incident.findings
        }
        rules = list(self.controller.state.matches.values())
        whom = self.controller.state.collateral
        people = people_of(rules, findings, rates, whom, served.newcomers)
        return replace(people, hurt=[*served.failing(), *people.hurt])

    def fills(self) -> list[readiness.Fill]:
        """The fill level of every table that can be full."""
        return readiness.fills(self.controller)

    def problems(self) -> list[str]:
        """Why this host cannot accept new rules and apply them everywhere; empty if it can."""
        return readiness.problems(self.controller, self.loader())

    def snapshot(self) -> Snapshot:
        """The incidents and problems as of now, for notifications."""
        incidents = {
            identity: self._measured(incident) if incident.open else incident
            for identity, incident in list(self.controller.state.incidents.items())
        }
        return Snapshot(incidents, tuple(self.problems()))

    def _measured(self, incident: Incident) -> Incident:
        """The incident, in which rules in force have whom they hit as well."""
        known = self.controller.state.collateral
        rules = tuple(
            structs.replace(rule, collateral=str(known[rule.id]))
            if not rule.ended_at and rule.id in known
            else rule
            for rule in incident.rules
        )
        return incident.replace(rules=rules)

    def warnings(self) -> list[str]:
        """Warnings that do not affect readiness."""
        known = readiness.warnings(self.controller, self.refresher, self.hooks)
        known += self._unread() + self._modules() + self._detector_warnings()
        return known + self.parts.warnings()

    def _modules(self) -> list[str]:
        """Which modules do not run, so that their rules match nothing."""
        report = self.loader()
        found = report.modules if report else {}
        return [
            f"module {name} does not run: {why}" if name else f"modules are not read: {why}"
            for name, why in sorted(found.items())
        ]

    def _unread(self) -> list[str]:
        """Sentences about packets that pass because the filter cannot parse them."""
        sample = self.sampler.last(_UNREAD_SECONDS)
        return [
            f"{rate:,.0f} packets/s of {name} pass unread, since xdpctl does not look into that: "
            "filter on the interface on which it ends"
            for name, rate in (unread(sample) if sample else {}).items()
        ]

    def _detector_warnings(self) -> list[str]:
        """What is wrong with the embedded detector, which is a process of its own."""
        on = self.settings.detect.mode is not Most.OFF
        if not on or time.time() < self.started + _DETECTOR_SECONDS:
            return []
        status = read_status(self.settings.detector_status)
        if status is None or status.silent:
            return ["the detector does not report: floods are not held unless somebody acts"]
        reasons = (mitigation.refused for mitigation in status.mitigations if mitigation.refused)
        refused = [why for why in dict.fromkeys(reasons) if why != TAKEN_BACK]
        return [f"a mitigation is not in force: {why}" for why in refused[:3]]
