# SPDX-License-Identifier: GPL-2.0-or-later
"""The control plane: the controller and the background tasks, connected to each other."""

import socket
import time
from collections import Counter
from pathlib import Path

from msgspec import structs

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.tcp_peers import Connections
from xdpctl.base.periodic import PeriodicTask
from xdpctl.base.system import malloc
from xdpctl.config.file import load, read_policy
from xdpctl.config.settings import Settings
from xdpctl.control.capture import Captures
from xdpctl.control.controller import Controller
from xdpctl.control.guards.connections import ConnectionsGuard
from xdpctl.control.store.audit_head import AuditHead
from xdpctl.fleet.rollout import Wellbeing
from xdpctl.incidents.files import Files
from xdpctl.incidents.recorder import PacketRecorder
from xdpctl.lists.geo.files import Databases
from xdpctl.lists.refresher import Refresher
from xdpctl.mitigation.hooks import Hooks
from xdpctl.mitigation.outcome import Outcome
from xdpctl.mitigation.precision import Known, Precision
from xdpctl.mitigation.settings import AutomaticSettings, LadderSettings
from xdpctl.mitigation.watchers.ladder import Ladder
from xdpctl.mitigation.watchers.lists import ListWatch
from xdpctl.mitigation.watchers.release import Releases
from xdpctl.mitigation.watchers.trials import TrialWatch
from xdpctl.model.naming import Names
from xdpctl.model.rule import BUILTIN
from xdpctl.notify.changes import refusals
from xdpctl.notify.dispatcher import Dispatcher
from xdpctl.processes.detector.learnt import LearntFile
from xdpctl.processes.fleet_link import FleetPolicy, agent_of
from xdpctl.processes.fleet_modules import FleetModules
from xdpctl.processes.health import Health
from xdpctl.processes.parts import Parts
from xdpctl.processes.pools import Pools
from xdpctl.processes.sessions import Sessions
from xdpctl.series.minutes import Minutes
from xdpctl.series.recorder import SeriesRecorder
from xdpctl.stream.producer import Producer, Status
from xdpctl.traffic.dimensions import DIMENSIONS
from xdpctl.traffic.places import Places
from xdpctl.traffic.sampler import Sampler
from xdpctl.traffic.unusual import Unusual
from xdpctl.watch.abuse_reports import Reporting
from xdpctl.watch.attackers import AttackerWatch
from xdpctl.watch.backstops import Backstops
from xdpctl.watch.challenges import ChallengeWatch
from xdpctl.watch.filled import Filled
from xdpctl.watch.flows import FlowWatch
from xdpctl.watch.in_use_file import path_of
from xdpctl.watch.loader_report import LoaderFile, TakenOff
from xdpctl.watch.peering import Peering
from xdpctl.watch.reverse_dns import ReverseDns
from xdpctl.watch.senders import SenderWatch
from xdpctl.watch.slow_connections import SlowConnections
from xdpctl.watch.uplinks import UplinkWatch
from xdpctl.watch.validation import ValidationWatch

_TRIM_SECONDS = 60.0  # a start leaves 80 MB of free memory behind, and bulk work leaves some


class ControlPlane:
    """The objects that every request uses; created once per process.

    `config` is the file that the settings came from, None for the default one. `refused` counts
    the problems that were sent as answers, by kind.
    """

    def __init__(
        self,
        controller: Controller,
        settings: Settings,
        refresher: Refresher,
        config: Path | None = None,
    ) -> None:
        self.controller, self.settings, self.refresher = controller, settings, refresher
        self.config, self.started, self.stopping = config, time.time(), False
        self.refused, self.connections = Counter[str](), Connections()
        self.parts, self.pools = Parts(), Pools()
        trim = lambda _: malloc.trim()  # noqa: E731
        self.parts.add(PeriodicTask("memory", _TRIM_SECONDS, trim, "free memory is not returned"))
        self.loader = LoaderFile(self.settings.loader_status)
        self.controller.guard = ConnectionsGuard(lambda: self.connections.now()).check
        self.parts.add(self.refresher)
        reverse = self.parts.add(ReverseDns(lambda: self.settings.names.reverse_dns, self.ours))
        self.names = Names(self.settings.names.by_prefix, reverse.name)
        self._add_observation()
        self._add_record()
        self._add_mitigation()
        self._add_others()

    def _add_observation(self) -> None:
        """Add the parts that observe the traffic and the host."""
        datapath, add = self.controller.datapath, self.parts.add
        self.sampler = add(Sampler(datapath.heads, datapath.served))
        self.unusual = add(Unusual(self.sampler))
        self.flow_watch = add(FlowWatch(self.controller, self.sampler, self.loader.ports))
        self.challenge_watch = add(ChallengeWatch(self.controller, self._filtered))
        self.slow = add(SlowConnections(self.connections.now, self.ours))
        self.learnt = LearntFile(self.settings.detector_learnt)
        self.sessions = Sessions(self.settings.session_key)
        self.geo_databases = Databases(self.settings.geo_databases)
        self.places = Places(self.geo_databases.readable)
        self.captures = Captures(datapath)
        self.lists = add(ListWatch(self.controller, self.sampler.last))
        self.senders = add(SenderWatch(self.controller, self.loader.ports))

    def _add_record(self) -> None:
        """Add the parts that record what was observed."""
        folder, add = self.settings.control_dir, self.parts.add
        series = folder / "series" if self.settings.series else None
        key = self.settings.incident_key
        self.audit_head = add(AuditHead(self.controller.store, folder / "audit.head", key))
        self.taken_off = add(TakenOff(self.controller, self.loader.read))
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
        self.producer = add(Producer(self.controller, self._status, self.names.tell))

    def _add_mitigation(self) -> None:
        """Add the parts that act on an attack."""
        controller, settings, add = self.controller, self.settings, self.parts.add
        self.hooks = Hooks(
            controller, self.files, self.connections, self._automatic, self._tell_refusals
        )
        matches = lambda: list(controller.state.matches.values())  # noqa: E731
        self.hooks.precision = Precision(self.sampler.last, self._known, self._automatic, matches)
        self.backstops = add(
            Backstops(
                controller, self.sampler, settings.backstop, settings.protected, settings.backstops
            )
        )
        self.releases = add(Releases(controller))
        self.ladder = add(Ladder(controller, self._steps, self.hooks.mode_for))
        self.trials = add(TrialWatch(controller, self.sampler.served.usual, self.hooks.mode_for))

    def _add_others(self) -> None:
        """Add the parts that deal with others: people, the provider, the fleet."""
        controller, settings, add = self.controller, self.settings, self.parts.add
        host, address = settings.fleet.name or socket.gethostname(), settings.listen.shared_address
        self.dispatcher = add(
            Dispatcher(
                settings.notify, lambda: self.health.snapshot(), host, address, self.names.tell
            )
        )
        tell = self.dispatcher.tell
        self._add_watches_inside()
        filled = Filled(controller, settings.upstream, self.sampler)
        self.uplinks = add(UplinkWatch(controller, settings.upstream, tell, filled))
        self.peering = self.reporting = None
        if settings.upstream.peers:
            self.peering = add(Peering(controller, settings, self.uplinks, tell))
        if settings.reporter.send:
            reporting = Reporting(controller, settings.reporter, self.files, self.ours, tell)
            self.reporting = add(reporting)
        policy = FleetPolicy(self.config, settings.fleet_policy, self._use_automatic)
        self.fleet_modules = FleetModules(settings.fleet_modules)
        self.fleet = agent_of(
            settings,
            controller,
            self.refresher,
            self._health,
            self._wellbeing,
            policy,
            self.fleet_modules,
            tell,
        )
        self.fleet_policy = policy
        if self.fleet:
            add(self.fleet)
        self.health = Health(
            controller=controller,
            settings=settings,
            started=self.started,
            loader=self.loader.read,
            parts=self.parts,
            refresher=self.refresher,
            hooks=self.hooks,
            sampler=self.sampler,
            unusual=self.unusual,
            series=self.series,
            uplinks=self.uplinks,
            tell=self.names.tell,
        )

    def _add_watches_inside(self) -> None:
        """Add the parts that watch what hosts inside send."""
        controller, settings, add = self.controller, self.settings, self.parts.add
        sampler, ports, tell = self.sampler, self.loader.ports, self.dispatcher.tell
        self.attackers = add(
            AttackerWatch(
                controller,
                sampler,
                settings.detect,
                ports,
                tell,
                lambda: self.hooks.mode_for(BUILTIN),
            )
        )
        path = path_of(settings)
        self.validation = add(
            ValidationWatch(controller, sampler, settings.outside, ports, tell, path)
        )

    def start(self) -> None:
        self.parts.start()

    def stop(self) -> None:
        """Stop the background tasks; requests that wait for them are answered at once."""
        self.stopping = True
        self.producer.broadcast.wake()
        self.hooks.stop()
        self.pools.stop()
        self.parts.stop()

    def revoked(self, name: str, serial: int) -> bool:
        """Whether a node, or that certificate, is not trusted; True for all without a fleet."""
        return self.fleet is None or self.fleet.revocations.revoked(name, serial)

    def _health(self) -> tuple[list[str], str]:
        """The problems of this node, and its condition in one word."""
        return self.health.problems(), self.health.condition()[1].state

    def _wellbeing(self) -> Wellbeing:
        """How this node is, to judge what it tries before other nodes have it."""
        look, found = self.health.condition()
        rows = self.sampler.served.figures()
        failing = {str(tuple(map(str, row.service))): row.fails for row in rows if row.fails}
        return Wellbeing(found.state.value, found.reasons[0], failing, bool(look.seconds))

    def _automatic(self) -> AutomaticSettings:
        return self.settings.automatic  # read each time, because it may be reloaded

    def _known(self) -> Known:
        """What the embedded detector has learnt."""
        learnt = self.learnt.read()
        return Known(learnt.normal.of_family, learnt.usual, self.settings.detect)

    def _filtered(self) -> tuple[str, ...]:
        """The interfaces that are filtered; without a report, those that should be."""
        report = self.loader.read()
        return tuple(report.ports) if report else self.settings.interface_names

    def _steps(self) -> LadderSettings:
        return self.settings.automatic.ladder

    def _tell_refusals(self, detector: str, outcome: Outcome) -> None:
        for news in refusals(detector, outcome):
            self.dispatcher.tell(news)

    def ours(self, source: Prefix) -> bool:
        """Whether an address is in `automatic.networks` or in a protected prefix."""
        in_networks = any(network.covers(source) for network in self.settings.automatic.networks)
        return in_networks or self.controller.state.protection.over(source) is not None

    def reload(self) -> None:
        """Reload [automatic], [notify] and [names]; ConfigError leaves all unchanged."""
        loaded = load(self.config)
        policy = self.fleet_policy.text
        self._use_automatic(read_policy(policy) if policy else loaded.automatic)
        self.settings = structs.replace(self.settings, notify=loaded.notify, names=loaded.names)
        self.dispatcher.use(loaded.notify)
        self.names.use(loaded.names.by_prefix)

    def _use_automatic(self, automatic: AutomaticSettings) -> None:
        self.settings = structs.replace(self.settings, automatic=automatic)
        self.hooks.rule_limits.most = automatic.max_per_minute

    def _status(self) -> Status:
        automatic = self.controller.state.automatic or self.settings.automatic.mode
        return Status(
            self.series.latest, automatic.value, self.health.problems(), self.health.warnings()
        )
