"""What every route works with; one object, made by the entry point."""

import os
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from fastapi import Request

from xdpctl.abi.structs import Limit, Reason
from xdpctl.base.net.prefix import Prefix
from xdpctl.base.net.tcp_peers import Connections
from xdpctl.base.workers import Crew
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.control.store.kinds import AUTOMATIC_MODE
from xdpctl.incidents.files import Files
from xdpctl.incidents.recorder import Witness
from xdpctl.lists.geo import GeoDatabase, find_databases, open_databases, open_installed
from xdpctl.lists.refresher import Refresher
from xdpctl.mitigation.rate_limit import Paces
from xdpctl.mitigation.repeat_offenders import Returns
from xdpctl.mitigation.settings import LadderSettings
from xdpctl.mitigation.watchers.ladder import Ladder
from xdpctl.mitigation.watchers.release import Releases
from xdpctl.model import sides
from xdpctl.model.rule import Automatic
from xdpctl.notify.changes import Look
from xdpctl.notify.dispatcher import Herald
from xdpctl.service.config import Settings, load
from xdpctl.service.loader_report import Word

_NEARLY_FULL = 0.8
_FETCHES = 4  # at once, of those somebody waits for
_BYTES_A_MINUTE, _EVENTS_A_MINUTE = 64 << 20, 100_000  # of one detector
_PARSERS = 2  # large bodies that are read at once: each may take much memory
_WATCHES = 4  # of which one watches, and the others are told so


class Fill(NamedTuple):
    """How full a table is."""

    name: str
    used: int
    capacity: int

    @property
    def share(self) -> float:
        return self.used / self.capacity


@dataclass(slots=True)
class Context:
    """The controller, the settings it runs under, the feeds, and counts for /metrics.

    `config` is the file that the settings came from, None for the usual one.
    """

    controller: Controller
    settings: Settings
    refresher: Refresher
    config: Path | None = None
    started: float = field(default_factory=time.time)
    refused: Counter[str] = field(default_factory=Counter)
    fetches: Crew = field(default_factory=lambda: Crew("fetches of feeds", _FETCHES))
    watches: Crew = field(default_factory=lambda: Crew("samplings", _WATCHES))
    parsing: Crew = field(default_factory=lambda: Crew("bodies of detectors", _PARSERS))
    connections: Connections = field(default_factory=Connections)
    stopping: bool = False
    paced: Counter[str] = field(default_factory=Counter)  # bodies refused, by detector
    received: Paces = field(default_factory=lambda: Paces(_BYTES_A_MINUTE))
    events: Paces = field(default_factory=lambda: Paces(_EVENTS_A_MINUTE))
    paces: Paces = field(init=False)
    files: Files = field(init=False)
    witness: Witness = field(init=False)
    herald: Herald = field(init=False)
    releases: Releases = field(init=False)
    ladder: Ladder = field(init=False)
    returns: Returns = field(default_factory=Returns)
    _geo: GeoDatabase | None = None
    _geo_tried: bool = False

    def __post_init__(self) -> None:
        self.paces = Paces(self.settings.automatic.max_per_minute)
        self.files = Files(self.settings.control_dir / "incidents")
        self.witness = Witness(self.controller, self.files, self.connections)
        self.herald = Herald(self.settings.notify, self.look)
        self.releases = Releases(self.controller)
        self.ladder = Ladder(self.controller, self._steps, self.automatic_for)

    def stop(self) -> None:
        """Whoever waits for a server or for traffic is answered at once."""
        self.stopping = True
        self.fetches.stop()
        self.watches.stop()
        self.parsing.stop()
        self.refresher.stop()
        self.witness.stop()
        self.releases.stop()
        self.ladder.stop()
        self.herald.stop()

    def start(self) -> None:
        """What runs beside the requests."""
        self.witness.start()
        self.releases.start()
        self.ladder.start()
        self.herald.start()

    def automatic_for(self, detector: str, draft: Draft | None = None) -> Automatic:
        """What an operator said holds for all, also just now in a draft; else the configuration."""
        said = self.controller.state.automatic
        if draft and AUTOMATIC_MODE in draft.settings:
            said = draft.settings[AUTOMATIC_MODE]
        return said if said is not None else self.settings.automatic.mode_for(detector)

    def _steps(self) -> LadderSettings:
        return self.settings.automatic.ladder  # as of now: it may be reloaded

    def ours(self, source: Prefix) -> bool:
        """Whether an address is of our own networks."""
        named = any(network.covers(source) for network in self.settings.automatic.networks)
        return named or self.controller.state.protection.over(source) is not None

    def look(self) -> Look:
        """How it stands, for those who are told of changes."""
        return Look(dict(self.controller.state.incidents), tuple(self.problems()))

    def reload(self) -> None:
        """Take [automatic] and [notify] anew from the file; ConfigError changes nothing."""
        found = load(self.config)
        self.settings = replace(self.settings, automatic=found.automatic, notify=found.notify)
        self.paces.most = found.automatic.max_per_minute
        self.herald.settings = found.notify

    def loader(self) -> Word | None:
        """The loader's last word; None if it never spoke."""
        try:
            return Word.read(self.settings.loader_status)
        except (OSError, ValueError):
            return None

    def geo(self) -> GeoDatabase | None:
        """The databases that are configured or installed; ConfigError if one cannot be read."""
        if not self._geo_tried:
            named = [Path(name) for name in self.settings.geo_databases]
            if named:
                self._geo = open_databases(named)
            elif find_databases():
                self._geo = open_installed()
            self._geo_tried = True
        return self._geo

    def warnings(self) -> list[str]:
        """What does not keep this box from its work, and should be known."""
        found = self.refresher.problems()
        by_port = self.controller.datapath.counters().values()
        faults = sum(counts[Reason.FAULT].packets for counts in by_port if Reason.FAULT in counts)
        if faults:
            found.append(
                f"{faults:,} packets passed as fault: more than 48 limits and monitored rules "
                "matched one of them, or it is a defect; look at `xdpctl list`"
            )
        state = self.controller.state
        for address in sides.hidden(state.sides, state.sessions):
            found.append(
                f"{address} is logged in, and could not log in again from outside: its network is "
                "not expected there; add it to outside.allow"
            )
        for detector, bodies in self.paced.items():
            found.append(f"{detector} sent too much in a minute: {bodies:,} bodies were refused")
        for fill in self.fills():
            if fill.share >= _NEARLY_FULL:
                found.append(
                    f"{fill.name} are at {fill.share:.0%}: {fill.used:,} of {fill.capacity:,}"
                )
        return found

    def fills(self) -> list[Fill]:
        """Every table that can be full."""
        state, source = self.controller.state, self.controller.datapath.source
        rules = state.image.capacity - state.room
        return [
            Fill("rules", rules, state.image.capacity),
            *(
                Fill(f"IPv{family} entries", state.used(family), capacity)
                for family, capacity in state.capacity.items()
            ),
            Fill("sets", len(state.sets), Limit.SETS_MAX),
            Fill("signatures", len(state.signatures), Limit.SIGNATURES_MAX),
            Fill("overlaps of sets", source.nodes.used, source.nodes.capacity),
        ]

    def problems(self) -> list[str]:
        """Why this box is not ready to take new rules and apply them everywhere."""
        found = []
        if self.controller.problem:
            found.append(self.controller.problem)
        found += self.controller.store_problems()
        if self.controller.state.room < 1:
            found.append(f"the source table is full: {self.controller.datapath.capacity} rules")
        if self.controller.datapath.bypass():
            found.append("the bypass is on: everything passes")
        loader = self.loader()
        if loader is None:
            return [*found, "the loader has not said that it runs"]
        if not _runs(loader.pid):
            found.append("the loader is not running: what appears now is not attached")
        elif loader.silent:
            found.append("the loader hangs: what appears now is not attached")
        for name, port in loader.ports.items():
            if port.get("state") != "attached":
                found.append(f"{name} is {port.get('state')}: {port.get('detail')}")
        return found


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


async def context(request: Request) -> Context:
    """The dependency that hands a route its context."""
    found: Context = request.app.state.context
    return found
