# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes of a fleet in this process: real controllers, stores and agents on fake kernels."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.fakes import ROOT, FakeClock, FakeDatapath, controller
from tests.support.walker import SMALL
from xdpctl.control.controller import Controller
from xdpctl.control.operations import rules
from xdpctl.fleet.agent.agent import Agent
from xdpctl.fleet.answer import Where
from xdpctl.fleet.settings import Arm, FleetSettings
from xdpctl.model.capacity import Capacity
from xdpctl.model.identity import Caller
from xdpctl.model.quota import Quota
from xdpctl.model.rule import OPERATOR
from xdpctl.model.shared import key_of
from xdpctl.model.wait import Wait
from xdpctl.notify.changes import News

QUOTAS = {
    OPERATOR: Quota(max_rules=1_000_000),
    "fastnetmon": Quota(max_rules=1_000, max_matches=100, max_ttl=3600, shortest_ipv4=8),
}


@dataclass
class Node:
    """A node; `start` and `stop` its control plane, and the store stays."""

    name: str
    folder: Path
    endpoints: list[str]
    prefix: str
    groups: tuple[str, ...] = ()
    arm: Arm = Arm.MONITOR
    protection: Mapping[str, str] = field(default_factory=dict)
    capacity: int = 4096
    tables: Capacity = SMALL
    datapath: FakeDatapath = field(init=False)
    clock: FakeClock = field(init=False)
    policies: list[str] = field(default_factory=list)
    modules: dict[str, str] = field(default_factory=dict)
    tell: Callable[[News], None] = lambda news: None
    behind_relays: bool = False
    _ends: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.datapath = FakeDatapath(self.capacity, self.tables)
        self.clock = FakeClock(unix=time.time(), boot=f"boot of {self.name}")

    def start(self) -> "Node":
        self.folder.mkdir(exist_ok=True)
        self.controller: Controller = self._ends.enter_context(
            controller(self.folder, self.datapath, self.clock, self.protection, QUOTAS)
        )
        settings = FleetSettings(
            name=self.name,
            endpoints=tuple(self.endpoints),
            groups=self.groups,
            arm=self.arm,
            certificates=self.folder,
            prefix=self.prefix,
            port=0,
            behind_relays=self.behind_relays,
        )
        self.agent = Agent(
            settings,
            self.controller,
            lambda: ([], ""),
            self.policies.append,
            self.modules.__setitem__,
            self.tell,
        )
        self.agent.start()
        self._ends.callback(self.agent.stop)
        return self

    def stop(self) -> None:
        self._ends.close()

    def add(
        self,
        request: Any,
        who: Caller = ROOT,
        scope: str | None = "",
        wait: Wait = Wait.LOCAL,
    ) -> Where:
        change = self.controller.change_by(who)
        added = self.controller.submit(
            lambda draft: rules.add(draft, request, who), change, scope
        ).result()
        key = key_of(added.rule)
        return self.agent.whereabouts.wait(change.number, [key], wait)

    def remove(
        self,
        rule_id: str,
        who: Caller = ROOT,
        wait: Wait = Wait.LOCAL,
        scope: str | None = "",
    ) -> Where:
        change = self.controller.change_by(who)
        gone = self.controller.submit(
            lambda draft: rules.remove(draft, rule_id, who, None, {}), change, scope
        ).result()
        return self.agent.whereabouts.wait(change.number, [key_of(gone)], wait)

    def change(self, source: str, changes: dict[str, object], who: Caller = ROOT) -> None:
        """Change a rule, as a person does who gives no scope."""
        change = self.controller.change_by(who)
        self.controller.submit(
            lambda draft: rules.change(draft, source, changes, who, None), change
        ).result()

    def rules(self) -> dict[str, str]:
        """The rules on sources: mode, action and origin by source."""
        return {
            str(r.source): f"{r.mode} {r.action} {r.origin}"
            for r in list(self.controller.state.rules.values())
        }

    def ids(self) -> dict[str, str]:
        return {
            str(s.match): f"{s.mode} {s.action} {s.origin}"
            for s in list(self.controller.state.matches.values())
        }


@contextmanager
def nodes(made: list[Node]) -> Iterator[list[Node]]:
    try:
        for node in made:
            node.start()
        yield made
    finally:
        for node in made:
            node.stop()
