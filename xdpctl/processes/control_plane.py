# SPDX-License-Identifier: GPL-2.0-or-later
"""The control plane: the controller and the background tasks, connected to each other."""

import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from xdpctl.base.few_at_once import FewAtOnce
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.tcp_peers import Connections
from xdpctl.base.workers import WorkerPool
from xdpctl.config.file import load, read_policy
from xdpctl.config.settings import Settings
from xdpctl.control.capture import Captures
from xdpctl.control.controller import Controller
from xdpctl.control.guards.connections import ConnectionsGuard
from xdpctl.control.store.audit_head import AuditHead
from xdpctl.errors import ConfigError
from xdpctl.flood.settings import Most
from xdpctl.incidents.files import Files
from xdpctl.incidents.recorder import PacketRecorder
from xdpctl.lists.geo import GeoDatabase
from xdpctl.lists.geo.files import Databases
from xdpctl.lists.refresher import Refresher
from xdpctl.mitigation.guards import RateLimits
from xdpctl.mitigation.hooks import Hooks
from xdpctl.mitigation.outcome import Outcome
from xdpctl.mitigation.precision import Known, Precision
from xdpctl.mitigation.settings import AutomaticSettings, LadderSettings
from xdpctl.mitigation.watchers.ladder import Ladder
from xdpctl.mitigation.watchers.lists import ListWatch
from xdpctl.mitigation.watchers.release import Releases
from xdpctl.mitigation.watchers.trials import TrialWatch
from xdpctl.notify.changes import Snapshot, refusals
from xdpctl.notify.dispatcher import Dispatcher
from xdpctl.processes.detector.learnt import LearntFile
from xdpctl.processes.detector.status import read_status
from xdpctl.processes.fleet_link import FleetPolicy, agent_of
from xdpctl.processes.parts import Parts
from xdpctl.processes.sessions import Sessions
from xdpctl.series.minutes import Minutes
from xdpctl.series.recorder import SeriesRecorder
from xdpctl.stream.producer import Producer, Status
from xdpctl.traffic.counted import rates_of_slots
from xdpctl.traffic.dimensions import DIMENSIONS
from xdpctl.traffic.places import Places
from xdpctl.traffic.sampler import Sampler
from xdpctl.traffic.unread import unread
from xdpctl.traffic.unusual import Look, Unusual
from xdpctl.traffic.window import Seen
from xdpctl.watch import readiness
from xdpctl.watch.abuse_reports import Reporting
from xdpctl.watch.backstops import Backstops
from xdpctl.watch.challenges import ChallengeWatch
from xdpctl.watch.condition import Condition, People, condition, overload, people_of
from xdpctl.watch.flows import FlowWatch
from xdpctl.watch.loader_report import LoaderReport, TakenOff
from xdpctl.watch.peering import Peering
from xdpctl.watch.slow_connections import SlowConnections
from xdpctl.watch.uplinks import UplinkWatch

if TYPE_CHECKING:
    from xdpctl.fleet.agent.agent import Agent

_UNREAD_SECONDS, _HITS_SECONDS = 10.0, 4.0
_FETCHES = 4  # fetches at the same time, of those that a request waits for
_LOOKS, _LOOKS_WAITING = 2, 30  # at the same time, and waiting: others must go on meanwhile
_HELPDESK_A_MINUTE = 20  # sources that one token of a help desk releases
_DETECTOR_SECONDS = 20.0  # in which the detector starts
_WATCHES = 4  # workers: one samples, the others answer that a sampling is under way


log = logging.getLogger("xdpctl.api")


@dataclass(slots=True)
class ControlPlane:
    """The objects that every request uses; created once per process.

    `config` is the file that the settings came from, None for the default one. `refused` counts
    the problems that were sent as answers, by kind.
    """

    controller: Controller
    settings: Settings
    refresher: Refresher
    config: Path | None = None
    started: float = field(default_factory=time.time)
    refused: Counter[str] = field(default_factory=Counter)
    fetches: WorkerPool = field(default_factory=lambda: WorkerPool("fetches of feeds", _FETCHES))
    looks: FewAtOnce = field(
        default_factory=lambda: FewAtOnce("looks at the traffic", _LOOKS, _LOOKS_WAITING)
    )
    watches: WorkerPool = field(default_factory=lambda: WorkerPool("samplings", _WATCHES))
    helpdesk_limits: RateLimits = field(default_factory=lambda: RateLimits(_HELPDESK_A_MINUTE))
    connections: Connections = field(default_factory=Connections)
    stopping: bool = False
    parts: Parts = field(default_factory=Parts)
    geo_problem: str = ""
    fleet_policy: FleetPolicy = field(init=False)
    fleet: "Agent | None" = field(init=False)
    audit_head: AuditHead = field(init=False)
    taken_off: TakenOff = field(init=False)
    sampler: Sampler = field(init=False)
    places: Places = field(init=False)
    unusual: Unusual = field(init=False)
    flow_watch: FlowWatch = field(init=False)
    challenge_watch: ChallengeWatch = field(init=False)
    backstops: Backstops = field(init=False)
    slow: SlowConnections = field(init=False)
    uplinks: UplinkWatch = field(init=False)
    peering: Peering | None = field(init=False)
    reporting: Reporting | None = field(init=False)
    learnt: LearntFile = field(init=False)
    sessions: Sessions = field(init=False)
    series: SeriesRecorder = field(init=False)
    minutes: Minutes = field(init=False)
    producer: Producer = field(init=False)
    files: Files = field(init=False)
    hooks: Hooks = field(init=False)
    captures: Captures = field(init=False)
    recorder: PacketRecorder = field(init=False)
    dispatcher: Dispatcher = field(init=False)
    releases: Releases = field(init=False)
    ladder: Ladder = field(init=False)
    trials: TrialWatch = field(init=False)
    lists: ListWatch = field(init=False)
    geo_databases: Databases = field(init=False)

    def __post_init__(self) -> None:
        self.controller.guard = ConnectionsGuard(lambda: self.connections.now()).check
        self.parts.add(self.refresher)
        self._add_observation()
        self._add_record()
        self._add_mitigation()
        self._add_others()

    def _add_observation(self) -> None:
        """What looks at the traffic and the host."""
        datapath, add = self.controller.datapath, self.parts.add
        self.sampler = add(Sampler(datapath.heads, datapath.served))
        self.unusual = add(Unusual(self.sampler))
        self.flow_watch = add(FlowWatch(self.controller, self.sampler, self._cards))
        self.challenge_watch = add(ChallengeWatch(self.controller, self._ports))
        self.slow = add(SlowConnections(self.connections.now, self.ours))
        self.learnt = LearntFile(self.settings.detector_learnt)
        self.sessions = Sessions(self.settings.session_key)
        self.geo_databases = Databases(self.settings.geo_databases)
        self.places = Places(self._geo_or_none)
        self.captures = Captures(datapath)
        self.lists = add(ListWatch(self.controller, self._seen))

    def _add_record(self) -> None:
        """What is kept of it."""
        folder, add = self.settings.control_dir, self.parts.add
        series = folder / "series" if self.settings.series else None
        key = self.settings.incident_key
        self.audit_head = add(AuditHead(self.controller.store, folder / "audit.head", key))
        self.taken_off = add(TakenOff(self.controller, self.loader))
        self.series = add(SeriesRecorder(self.controller, series, self.sampler.served.totals))
        self.minutes = add(
            Minutes(
                self.controller,
                series,
                self.sampler,
                lambda: DIMENSIONS | self.places.dimensions,
            )
        )
        self.files = Files(folder / "incidents")
        self.recorder = add(
            PacketRecorder(
                self.controller,
                self.captures,
                self.files,
                self.connections,
                self.sampler.served.newcomers,
            )
        )
        self.producer = add(Producer(self.controller, self._status))

    def _add_mitigation(self) -> None:
        """What is done about an attack."""
        controller, settings, add = self.controller, self.settings, self.parts.add
        self.hooks = Hooks(
            controller, self.files, self.connections, self._automatic, self._tell_refusals
        )
        matches = lambda: list(controller.state.matches.values())  # noqa: E731
        self.hooks.precision = Precision(self._seen, self._known, self._automatic, matches)
        self.backstops = add(
            Backstops(
                controller, self.sampler, settings.backstop, settings.protected, settings.backstops
            )
        )
        self.releases = add(Releases(controller))
        self.ladder = add(Ladder(controller, self._steps, self.hooks.mode_for))
        self.trials = add(TrialWatch(controller, self.sampler.served.usual, self.hooks.mode_for))

    def _add_others(self) -> None:
        """Who is told and asked: people, the provider, the fleet."""
        controller, settings, add = self.controller, self.settings, self.parts.add
        self.dispatcher = add(Dispatcher(settings.notify, self.snapshot))
        tell = self.dispatcher.tell
        self.uplinks = add(UplinkWatch(controller, settings.upstream, tell, self._seen))
        self.peering = self.reporting = None
        if settings.upstream.peers:
            self.peering = add(Peering(controller, settings, self.uplinks, tell))
        if settings.reporter.send:
            reporting = Reporting(controller, settings.reporter, self.files, self.ours, tell)
            self.reporting = add(reporting)
        self.fleet_policy = FleetPolicy(self.config, settings.fleet_policy, self._use_automatic)
        self.fleet = agent_of(settings, controller, self.refresher, self._health, self.fleet_policy)
        if self.fleet:
            add(self.fleet)

    def start(self) -> None:
        self.parts.start()

    def stop(self) -> None:
        """Stop the background tasks; requests that wait for them are answered at once."""
        self.stopping = True
        self.producer.broadcast.wake()
        for pool in (self.fetches, self.watches, self.hooks, self.looks):
            pool.stop()
        self.parts.stop()

    def revoked(self, name: str, serial: int) -> bool:
        """Whether a node is not trusted any more, or that certificate; none is without a fleet."""
        return self.fleet is None or self.fleet.revocations.revoked(name, serial)

    def _health(self) -> tuple[list[str], str]:
        """The problems of this node, and whether what attacks is held."""
        return self.problems(), self.condition()[1].state

    def _automatic(self) -> AutomaticSettings:
        return self.settings.automatic  # read each time, because it may be reloaded

    def _seen(self, seconds: float) -> Seen | None:
        """The packets of the last seconds; None if nothing is observed."""
        late = self.sampler.late(time.monotonic())
        return None if late else self.sampler.window.last(seconds)

    def _known(self) -> Known:
        """What the embedded detector has learnt."""
        found = self.learnt.read()
        return Known(found.normal.of_family, found.usual, self.settings.detect)

    def _steps(self) -> LadderSettings:
        return self.settings.automatic.ladder

    def _tell_refusals(self, detector: str, outcome: Outcome) -> None:
        for news in refusals(detector, outcome):
            self.dispatcher.tell(news)

    def ours(self, source: Prefix) -> bool:
        """Whether an address is in `automatic.networks` or in a protected prefix."""
        named = any(network.covers(source) for network in self.settings.automatic.networks)
        return named or self.controller.state.protection.over(source) is not None

    def snapshot(self) -> Snapshot:
        """The incidents and problems as of now, for notifications."""
        return Snapshot(dict(self.controller.state.incidents), tuple(self.problems()))

    def reload(self) -> None:
        """Reload [automatic] and [notify] from the file; ConfigError leaves both unchanged."""
        found = load(self.config)
        policy = self.fleet_policy.text
        self._use_automatic(read_policy(policy) if policy else found.automatic)
        self.settings = structs.replace(self.settings, notify=found.notify)
        self.dispatcher.settings = found.notify

    def _use_automatic(self, automatic: AutomaticSettings) -> None:
        self.settings = structs.replace(self.settings, automatic=automatic)
        self.hooks.rule_limits.most = automatic.max_per_minute

    def loader(self) -> LoaderReport | None:
        """The loader's last report; None if there is none."""
        try:
            return LoaderReport.read(self.settings.loader_status)
        except (OSError, ValueError):
            return None

    def geo(self) -> GeoDatabase | None:
        """The configured or installed geo databases; ConfigError if one cannot be read."""
        return self.geo_databases.current()

    def _status(self) -> Status:
        automatic = self.controller.state.automatic or self.settings.automatic.mode
        return Status(self.series.latest, automatic.value, self.problems(), self.warnings())

    def _geo_or_none(self) -> GeoDatabase | None:
        """The database; None also if it cannot be read, which is logged once."""
        try:
            return self.geo()
        except ConfigError as error:
            if str(error) != self.geo_problem:
                log.warning("countries and ASes are not shown: %s", error)
            self.geo_problem = str(error)
            return None

    def condition(self) -> tuple[Look, Condition]:
        """What is unusual in the traffic, and whether what attacks is held."""
        look = self.unusual.look()
        if self.sampler.late(time.monotonic()):
            look = replace(look, seconds=0.0)
        bypass = self.controller.datapath.bypass()
        full = [*self.uplinks.full(), *overload(self.series.latest)]
        return look, condition(look, bypass, self.loader(), full, self._people())

    def _people(self) -> People:
        """Whether people are served."""
        served = self.sampler.served
        seen = self._seen(_HITS_SECONDS)
        rates = rates_of_slots(seen.packets, seen.seconds) if seen and seen.seconds else {}
        findings = {
            each.rule: each.finding
            for incident in list(self.controller.state.incidents.values())
            if incident.open
            for each in incident.findings
        }
        rules = list(self.controller.state.matches.values())
        whom = self.controller.state.collateral
        found = people_of(rules, findings, rates, whom, served.newcomers)
        return replace(found, hurt=[*served.failing(), *found.hurt])

    def fills(self) -> list[readiness.Fill]:
        """The fill level of every table that can be full."""
        return readiness.fills(self.controller)

    def problems(self) -> list[str]:
        """Why this host cannot accept new rules and apply them everywhere; empty if it can."""
        return readiness.problems(self.controller, self.loader())

    def warnings(self) -> list[str]:
        """Warnings that do not affect readiness."""
        found = readiness.warnings(self.controller, self.refresher, self.hooks)
        return found + self._unread() + self._detector_warnings() + self.parts.warnings()

    def _cards(self) -> Mapping[str, Mapping[str, Any]]:
        """The interfaces, as the loader reports them."""
        loader = self.loader()
        return loader.ports if loader else {}

    def _ports(self) -> tuple[str, ...]:
        """The interfaces that are filtered."""
        loader = self.loader()
        return tuple(loader.ports) if loader else self.settings.interface_names

    def _unread(self) -> list[str]:
        """What passes because the filter does not look into it."""
        seen = self._seen(_UNREAD_SECONDS)
        return [
            f"{rate:,.0f} packets/s of {name} pass unread, since xdpctl does not look into that: "
            "filter on the interface on which it ends"
            for name, rate in (unread(seen) if seen else {}).items()
        ]

    def _detector_warnings(self) -> list[str]:
        """What is wrong with the embedded detector, which is a process of its own."""
        on = self.settings.detect.mode is not Most.OFF
        if not on or time.time() < self.started + _DETECTOR_SECONDS:
            return []
        status = read_status(self.settings.detector_status)
        if status is None or status.silent:
            return ["the detector does not report: floods are not held unless somebody acts"]
        refused = [each.refused for each in status.mitigations if each.refused]
        return [f"a mitigation is not in force: {why}" for why in refused[:3]]
