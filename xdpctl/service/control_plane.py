# SPDX-License-Identifier: GPL-2.0-or-later
"""The control plane: the controller, and what works beside it, wired together."""

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.tcp_peers import Connections
from xdpctl.base.workers import WorkerPool
from xdpctl.control.controller import Controller
from xdpctl.control.store.audit_head import AuditHead
from xdpctl.incidents.files import Files
from xdpctl.incidents.recorder import PacketRecorder
from xdpctl.lists.geo import GeoDatabase
from xdpctl.lists.geo.installed import Databases
from xdpctl.lists.refresher import Refresher
from xdpctl.mitigation.hooks import Hooks
from xdpctl.mitigation.outcome import Outcome
from xdpctl.mitigation.settings import AutomaticSettings, LadderSettings
from xdpctl.mitigation.watchers.ladder import Ladder
from xdpctl.mitigation.watchers.release import Releases
from xdpctl.notify.changes import Snapshot, refusals
from xdpctl.notify.dispatcher import Dispatcher
from xdpctl.service import readiness
from xdpctl.service.config import load
from xdpctl.service.loader_report import LoaderReport
from xdpctl.service.settings import Settings

_FETCHES = 4  # at once, of those somebody waits for
_WATCHES = 4  # of which one watches, and the others are told so


class Part(Protocol):
    """What runs beside the requests, in threads of its own."""

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> None:
        """End, and wait for it."""
        ...


@dataclass(slots=True)
class ControlPlane:
    """What every request works with; one object for the life of the process.

    `config` is the file that the settings came from, None for the usual one. `refused` counts
    problems that were answered, by kind.
    """

    controller: Controller
    settings: Settings
    refresher: Refresher
    config: Path | None = None
    started: float = field(default_factory=time.time)
    refused: Counter[str] = field(default_factory=Counter)
    fetches: WorkerPool = field(default_factory=lambda: WorkerPool("fetches of feeds", _FETCHES))
    watches: WorkerPool = field(default_factory=lambda: WorkerPool("samplings", _WATCHES))
    connections: Connections = field(default_factory=Connections)
    stopping: bool = False
    audit_head: AuditHead = field(init=False)
    files: Files = field(init=False)
    hooks: Hooks = field(init=False)
    recorder: PacketRecorder = field(init=False)
    dispatcher: Dispatcher = field(init=False)
    releases: Releases = field(init=False)
    ladder: Ladder = field(init=False)
    geo_databases: Databases = field(init=False)

    def __post_init__(self) -> None:
        folder, key = self.settings.control_dir, self.settings.incident_key
        self.audit_head = AuditHead(self.controller.store, folder / "audit.head", key)
        self.files = Files(self.settings.control_dir / "incidents")
        self.hooks = Hooks(
            self.controller, self.files, self.connections, self._automatic, self._tell_refusals
        )
        self.recorder = PacketRecorder(self.controller, self.files, self.connections)
        self.dispatcher = Dispatcher(self.settings.notify, self.snapshot)
        self.releases = Releases(self.controller)
        self.ladder = Ladder(self.controller, self._steps, self.hooks.mode_for)
        self.geo_databases = Databases(self.settings.geo_databases)

    def start(self) -> None:
        """What runs beside the requests."""
        for part in self._parts():
            part.start()

    def stop(self) -> None:
        """Whoever waits for a server or for traffic is answered at once."""
        self.stopping = True
        for pool in (self.fetches, self.watches, self.hooks):
            pool.stop()
        for part in self._parts():
            part.stop()

    def _parts(self) -> tuple[Part, ...]:
        return (
            *(self.refresher, self.recorder, self.releases, self.ladder, self.dispatcher),
            self.audit_head,
        )

    def _automatic(self) -> AutomaticSettings:
        return self.settings.automatic  # as of now: it may be reloaded

    def _steps(self) -> LadderSettings:
        return self.settings.automatic.ladder

    def _tell_refusals(self, detector: str, outcome: Outcome) -> None:
        for news in refusals(detector, outcome):
            self.dispatcher.tell(news)

    def ours(self, source: Prefix) -> bool:
        """Whether an address is of our own networks."""
        named = any(network.covers(source) for network in self.settings.automatic.networks)
        return named or self.controller.state.protection.over(source) is not None

    def snapshot(self) -> Snapshot:
        """How it stands, for those who are told of changes."""
        return Snapshot(dict(self.controller.state.incidents), tuple(self.problems()))

    def reload(self) -> None:
        """Take [automatic] and [notify] anew from the file; ConfigError changes nothing."""
        found = load(self.config)
        self.settings = replace(self.settings, automatic=found.automatic, notify=found.notify)
        self.hooks.rules_paces.most = found.automatic.max_per_minute
        self.dispatcher.settings = found.notify

    def loader(self) -> LoaderReport | None:
        """The loader's last report; None if there is none."""
        try:
            return LoaderReport.read(self.settings.loader_status)
        except (OSError, ValueError):
            return None

    def geo(self) -> GeoDatabase | None:
        """The databases that are configured or installed; ConfigError if one cannot be read."""
        return self.geo_databases.current()

    def fills(self) -> list[readiness.Fill]:
        """Every table that can be full."""
        return readiness.fills(self.controller)

    def problems(self) -> list[str]:
        """Why this box is not ready to take new rules and apply them everywhere."""
        return readiness.problems(self.controller, self.loader())

    def warnings(self) -> list[str]:
        """What does not affect readiness, and should be known."""
        return readiness.warnings(self.controller, self.refresher, self.hooks)
