# SPDX-License-Identifier: GPL-2.0-or-later
"""Three nodes in this process with a real engine, under faults: a short form of the lab test."""

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fleet.boxes import Node
from tests.fleet.engines import Etcd
from tests.fleet.jepsen.history import Asked, Ending, History, Outcome
from tests.support.fakes import ROOT, ask
from xdpctl.control.operations import rules
from xdpctl.control.store.audit import verify
from xdpctl.errors import XdpctlError
from xdpctl.fleet.answer import Where
from xdpctl.model.identity import Caller, Role
from xdpctl.model.wait import Wait

_KEYS = 12
_DETECTOR = Caller("token fastnetmon", Role.OPERATOR, "fastnetmon")
Defect = Callable[[Node], None]  # breaks a started node


class Simulation:
    """Nodes, clients and faults; `run` returns the history."""

    def __init__(
        self, folder: Path, etcd: Etcd, prefix: str, defect: Defect, seed: int, patience: float
    ) -> None:
        self._etcd, self._defect, self._rng = etcd, defect, random.Random(seed)
        self._patience = patience
        self.nodes = [
            Node(f"edge{n}", folder / f"edge{n}", [etcd.endpoint], prefix) for n in (1, 2, 3)
        ]
        self._asked: list[Asked] = []
        self._stop = threading.Event()
        self._began = time.monotonic()
        self._locks = {node.name: threading.Lock() for node in self.nodes}

    def run(self, seconds: float) -> History:
        history = History()
        try:
            for node in self.nodes:
                self._start(node)
            self._settle()
            clients = [threading.Thread(target=self._client, args=(n,)) for n in self.nodes]
            for client in clients:
                client.start()
            while time.monotonic() - self._began < seconds:
                fault = self._rng.choice((self._cut, self._cut_two, self._restart, self._kill))
                history.faults.append(fault.__name__)
                fault()
                time.sleep(self._rng.uniform(0.2, 0.6))
            self._stop.set()
            for client in clients:
                client.join()
            self._contradict()
            healing = time.monotonic()
            self._settle()
            history.healed_seconds = time.monotonic() - healing
            history.asked = self._asked
            history.endings = [self._ending(node) for node in self.nodes]
        finally:
            for node in self.nodes:
                node.stop()
        return history

    def _contradict(self) -> None:
        """Let a cut-off node state a rule, and then another node state the opposite."""
        away, there = self.nodes[0], self.nodes[1]
        self._settle()
        self._endpoints(away, "127.0.0.1:1")
        for number in range(4):
            self._add(away, f"203.0.115.{number}/32", "accept", Wait.LOCAL)
        for number in range(4):
            self._add(there, f"203.0.115.{number}/32", "drop")
        self._endpoints(away, self._etcd.endpoint)

    def _start(self, node: Node) -> None:
        node.start()
        self._defect(node)

    def _settle(self) -> None:
        """Wait some seconds until all nodes have the same rules."""
        deadline, calm = time.monotonic() + self._patience, 0
        while time.monotonic() < deadline and calm < 5:
            same = all(node.rules() == self.nodes[0].rules() for node in self.nodes)
            sent = not any(node.controller.state.unsent for node in self.nodes)
            applied = all(node.agent.member.applied for node in self.nodes)
            calm = calm + 1 if same and sent and applied else 0
            time.sleep(0.05)

    def _cut(self) -> None:
        self._away([self._rng.choice(self.nodes)])

    def _cut_two(self) -> None:
        self._away(self._rng.sample(self.nodes, 2))

    def _away(self, nodes: list[Node]) -> None:
        for node in nodes:
            self._endpoints(node, "127.0.0.1:1")
        time.sleep(self._rng.uniform(0.3, 1.0))
        for node in nodes:
            self._endpoints(node, self._etcd.endpoint)

    def _endpoints(self, node: Node, endpoint: str) -> None:
        engine = node.agent.member.engine
        engine.connection.endpoints = (endpoint,)
        engine.turn_away(engine.turn)

    def _restart(self) -> None:
        node = self._rng.choice(self.nodes)
        with self._locks[node.name]:
            node.stop()
            self._start(node)

    def _kill(self) -> None:
        self._etcd.kill()
        time.sleep(self._rng.uniform(0.1, 0.5))
        self._etcd.start()

    def _client(self, node: Node) -> None:
        rng = random.Random(self._rng.random())
        while not self._stop.wait(rng.uniform(0, 0.02)):
            number, draw = rng.randrange(_KEYS), rng.random()
            source = f"203.0.{113 if draw < 0.6 else 114}.{number}/32"
            with self._locks[node.name]:
                if draw < 0.2 or 0.6 <= draw < 0.8:
                    self._remove(node, source)
                elif draw < 0.9:
                    self._add(node, source, rng.choice(("drop", "accept")))
                else:
                    self._detect(node, source)

    def _add(self, node: Node, source: str, action: str, wait: Wait = Wait.MAJORITY) -> None:
        request = ask(source, action, replace=True)
        self._do(node, source, action, lambda draft: rules.add(draft, request, ROOT), wait)

    def _remove(self, node: Node, source: str) -> None:
        name = source.replace("/", "_")
        self._do(node, source, "", lambda draft: rules.remove(draft, name, ROOT, None, {}))

    def _detect(self, node: Node, source: str) -> None:
        request = ask(source, ttl=600.0, tags=(f"event-{node.name}-{source.replace('/', '-')}",))
        began = time.monotonic() - self._began
        try:
            node.controller.submit(lambda d: rules.add(d, request, _DETECTOR)).result()
            outcome = Outcome.NODE
        except XdpctlError:
            outcome = Outcome.REFUSED
        ended = time.monotonic() - self._began
        self._asked.append(Asked(node.name, source, "drop", False, began, ended, outcome))

    def _do(
        self, node: Node, key: str, value: str, operation: Any, wait: Wait = Wait.MAJORITY
    ) -> None:
        began, change = time.monotonic() - self._began, node.controller.change_by(ROOT)
        outcome, where = Outcome.UNKNOWN, Where(0)
        try:
            node.controller.submit(operation, change).result()
            number = change.number if change else 0
            where = node.agent.whereabouts.wait(number, [f"rules/{key.replace('/', '_')}"], wait)
            outcome = Outcome.ENGINE if where.revision else Outcome.NODE
        except XdpctlError as error:
            refused = "differently, and the engine had that first" not in str(error)
            outcome = Outcome.REFUSED if refused else Outcome.UNKNOWN
        ended = time.monotonic() - self._began
        self._asked.append(
            Asked(node.name, key, value, True, began, ended, outcome, where.revision)
        )

    def _ending(self, node: Node) -> Ending:
        now = node.clock.read().ns
        found = {
            str(rule.source): f"{rule.action} {rule.origin}"
            for rule in list(node.controller.state.rules.values())
            if not rule.expired(now)
        }
        problem = verify(node.controller.store.audit(0, 1_000_000)).problem
        return Ending(node.name, found, problem or "", len(node.controller.state.unsent))


def simulate(
    folder: Path, defect: Defect, seed: int, seconds: float = 8.0, patience: float = 8.0
) -> History:
    """The history of so many seconds; `patience`: for how long nodes may need to agree again."""
    etcd = Etcd()
    try:
        return Simulation(folder, etcd, "sim/", defect, seed, patience).run(seconds)
    finally:
        etcd.remove()
