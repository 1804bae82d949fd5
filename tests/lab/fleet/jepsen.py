# SPDX-License-Identifier: GPL-2.0-or-later
"""A fleet under faults: `python -m tests.lab.fleet.jepsen SECONDS FILE [SEED]` writes a history.

Five nodes, three of them with etcd, in namespaces. Clients on all nodes block, allow and remove
addresses, detectors report others, while faults come one after the other. The checker is a program
of its own.
"""

import random
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from tests.fleet.jepsen.history import Asked, Ending, History, Outcome
from tests.lab.fleet.edges import Edge, FleetLab, Traffic
from xdpctl.errors import Refused, Unreachable
from xdpctl.fleet.authority.certificates import issued
from xdpctl.fleet.authority.layout import Layout
from xdpctl.fleet.intent import STATES
from xdpctl.lab.namespaces import LabError
from xdpctl.lab.waits import until

_KEYS, _OF_DETECTORS = 60, 30
_PAUSE = 0.05
CANARY = "203.0.113.200"
_FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
SETTINGS = """
[origins.event]
max_rules = 10000

[automatic]
mode = "on"
"""


class Clients:
    """One client on each node, until `stop`; what they asked is in `asked`."""

    def __init__(self, fleet: FleetLab, began: float, rng: random.Random) -> None:
        self._fleet, self._began = fleet, began
        self.asked: list[Asked] = []
        self.surprises: Counter[str] = Counter()  # refusals that a valid request must not get
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(edge, random.Random(rng.random())))
            for edge in fleet.edges
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, edge: Edge, rng: random.Random) -> None:
        while not self._stop.wait(_PAUSE * rng.random() * 2):
            draw = rng.random()
            if draw < 0.2:
                self._detect(edge, f"203.0.114.{rng.randrange(_OF_DETECTORS)}/32", rng)
            elif draw < 0.3:  # a person, among detectors
                self._person(edge, f"203.0.114.{rng.randrange(_OF_DETECTORS)}/32", rng)
            else:
                self._person(edge, f"203.0.113.{rng.randrange(_KEYS)}/32", rng)

    def _person(self, edge: Edge, source: str, rng: random.Random) -> None:
        value = rng.choice(("drop", "drop", "accept", ""))
        name = source.replace("/", "_")

        def ask() -> Any:
            if not value:
                return edge.call("DELETE", f"/v1/rules/{name}", params={"wait": "majority"})
            body = {"match": {"source": source}, "action": value, "replace": True}
            return edge.call("POST", "/v1/rules", json=body, params={"wait": "majority"})

        self._asked(edge, source, value, True, ask)

    def _detect(self, edge: Edge, source: str, rng: random.Random) -> None:
        body = {
            "id": f"{edge.name}-{source}",
            "phase": rng.choice(("began", "began", "ended")),
            "attack": "udp_flood",
            "sources": [source.split("/")[0]],
            "ttl": 600,
        }

        def ask() -> Any:
            return edge.call("POST", "/v1/hooks/event", json=body)

        self._asked(edge, source, "drop", False, ask)

    def _asked(
        self, edge: Edge, key: str, value: str, person: bool, ask: Callable[[], Any]
    ) -> None:
        began, outcome, revision = time.monotonic() - self._began, Outcome.UNKNOWN, 0
        try:
            answer = ask()
            where = answer.get("fleet") or {}
            revision = where.get("revision", 0)
            outcome = Outcome.ENGINE if revision else Outcome.NODE
        except Refused as error:
            status = error.problem.get("status", 500)
            outcome = Outcome.REFUSED if status < 500 else Outcome.UNKNOWN
            if status == 409 and person:
                outcome = Outcome.UNKNOWN  # it may have been kept, and given way later
            elif status not in (404, 409) and status < 500:
                self.surprises[f"{status}: {error.problem.get('detail')}"[:200]] += 1
        except Unreachable:
            outcome = Outcome.UNKNOWN
        ended = time.monotonic() - self._began
        self.asked.append(Asked(edge.name, key, value, person, began, ended, outcome, revision))


class Nemesis:
    """Faults, one after the other; each heals itself."""

    def __init__(self, fleet: FleetLab, rng: random.Random, began: float) -> None:
        self._fleet, self._rng, self._began = fleet, rng, began
        self.done: list[str] = []
        self.tried: list[Asked] = []

    def one(self) -> None:
        faults = (
            self.kill_leader,
            self.cut_leader,
            self.one_way,
            self.flap,
            self.pause_leader,
            self.cut_a_node,
            self.restart_a_node,
            self.kill_every_process_of_a_node,
            self.fill_a_disk,
            self.step_a_clock,
            self.expire_a_certificate,
            self.lose_quorum,
            self.lose_the_authority,
            self.damage_a_record,
            self.damage_a_member,
            self.try_on_one_node,
        )
        fault = self._rng.choice(faults)
        at = time.monotonic() - self._began
        name = fault.__name__.replace("_", " ")
        try:
            fault()
        except (LabError, AssertionError) as error:  # a fault that did not happen does not count
            name += f" ({str(error)[-200:]})"
        took = time.monotonic() - self._began - at
        self.done.append(f"{at:.1f} s {name}, {took:.1f} s")
        print(self.done[-1], flush=True)

    def _seconds(self) -> float:
        return self._rng.uniform(3, 8)

    def kill_leader(self) -> None:
        edge = self._fleet.leader()
        edge.kill_etcd()
        time.sleep(self._seconds())
        edge.start_etcd()

    def cut_leader(self) -> None:
        self._cut(self._fleet.leader())

    def cut_a_node(self) -> None:
        self._cut(self._rng.choice(self._fleet.edges))

    def _cut(self, edge: Edge) -> None:
        edge.cut()
        time.sleep(self._seconds())
        edge.heal()

    def one_way(self) -> None:
        """Lose the packets that one node sends; it still receives those of others."""
        edge = self._rng.choice(self._fleet.edges)
        rules = "add table inet jepsen; add chain inet jepsen out "
        rules += "{ type filter hook output priority 0; }; "
        rules += 'add rule inet jepsen out oifname "hub0" drop'
        edge.host.sh("nft", rules)
        time.sleep(self._seconds())
        edge.host.sh("nft", "delete", "table", "inet", "jepsen")

    def flap(self) -> None:
        edge = self._rng.choice(self._fleet.edges)
        for _ in range(6):
            edge.cut()
            time.sleep(0.7)
            edge.heal()
            time.sleep(0.7)

    def pause_leader(self) -> None:
        edge = self._fleet.leader()
        edge.kill_etcd(signal.SIGSTOP)
        time.sleep(self._seconds())
        edge.kill_etcd(signal.SIGCONT)

    def restart_a_node(self) -> None:
        edge = self._rng.choice(self._fleet.edges)
        edge.box.stop()
        time.sleep(self._rng.uniform(0, 3))
        edge.box.start()

    def kill_every_process_of_a_node(self) -> None:
        edge = self._rng.choice(self._fleet.edges)
        edge.box.kill()
        time.sleep(self._rng.uniform(0, 3))
        edge.box.start()

    def fill_a_disk(self) -> None:
        """Fill the disk of a node's store."""
        edge = self._rng.choice(self._fleet.edges)
        filler = edge.box.directory / "state" / "control" / "filler"
        with suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(1 << 20))
                file.flush()
        time.sleep(self._seconds())
        filler.unlink()
        if edge.etcd and not Path(f"/proc/{edge.etcd}/exe").exists():
            edge.start_etcd()  # it ends itself then, and its unit starts it again

    def step_a_clock(self) -> None:
        """Set the wall clock of a node wrong by up to an hour, permanently."""
        edge = self._rng.choice(self._fleet.edges)
        (edge.box.directory / "clock").write_text(f"{self._rng.uniform(-3600, 3600):+.0f}")
        time.sleep(2)

    def expire_a_certificate(self) -> None:
        """Give a node an expired certificate for a while."""
        edge = self._rng.choice(self._fleet.edges)
        first = self._fleet.edges[0].box.directory / "state"
        layout = Layout(first, "xdpctl", "xdpctl")
        path = edge.box.directory / "state" / "control" / "fleet" / "node.crt"
        good = path.read_bytes()
        key = path.with_name("node.key").read_bytes()
        authority = layout.pair(layout.authority, "ca")
        pair = issued(authority, edge.name, [edge.address], -60.0, key, STATES)
        path.write_bytes(pair.certificate)
        try:
            edge.box.stop()
            edge.box.start()
            time.sleep(self._seconds())
        finally:  # also if the box was too slow to start
            path.write_bytes(good)

    def lose_quorum(self) -> None:
        members = [edge for edge in self._fleet.edges if edge.etcd][:2]
        for edge in members:
            edge.cut()
        time.sleep(self._seconds())
        for edge in members:
            edge.heal()

    def lose_the_authority(self) -> None:
        """Kill everything of the host with the authority, and start it again."""
        edge = self._fleet.edges[0]
        edge.kill_etcd()
        edge.box.kill()
        time.sleep(self._seconds())
        edge.start_etcd()
        edge.box.start()

    def damage_a_record(self) -> None:
        """Change bytes of a rule in the store of a node."""
        edge = self._rng.choice(self._fleet.edges)
        edge.box.kill()
        path = edge.box.directory / "state" / "control" / "rules.sqlite"
        with closing(sqlite3.connect(path)) as db, db:
            query = "SELECT key, value FROM entries WHERE key LIKE 'rules/203.0.11%'"
            rows = db.execute(query).fetchall()
            assert rows, "it has none"
            key, value = self._rng.choice(rows)
            changed = value.replace(b"203.0.11", b"203.1.11")
            assert changed != value
            db.execute("UPDATE entries SET value = ? WHERE key = ?", (changed, key))
        edge.box.start()

    def damage_a_member(self) -> None:
        """Change bytes of rules in the data of a member; it leaves, and joins anew."""
        first = self._fleet.edges[0]
        edge = self._rng.choice([e for e in self._fleet.edges if e.etcd and e is not first])
        database = edge.box.directory / "state" / "engine" / "data" / "member" / "snap" / "db"
        edge.kill_etcd()
        data = database.read_bytes()
        assert b'"203.0.113.' in data
        database.write_bytes(data.replace(b'"203.0.113.', b'"203.1.113.'))
        edge.start_etcd()
        time.sleep(self._seconds())
        edge.admin("demote", "--yes", "--force")
        edge.join(first, first.admin("promote", edge.name)["token"])
        edge.restart()

    def try_on_one_node(self) -> None:
        """Let a node try a rule first; then a person publishes it, or takes it back."""
        edge = self._rng.choice(self._fleet.edges)
        key = f"203.0.115.{self._rng.randrange(200)}/32"
        began = time.monotonic() - self._began
        made = edge.call(
            *("POST", "/v1/rules"),
            params={"scope": "canary:3600"},
            json={"match": {"source": key}, "action": "drop"},
        )
        time.sleep(self._rng.uniform(0, 3))
        where, publish = f"/v1/fleet/rollouts/{made['change']}", self._rng.random() < 0.5
        edge.call("POST" if publish else "DELETE", f"{where}/publish" if publish else where)
        ended = time.monotonic() - self._began
        self.tried.append(
            Asked(edge.name, key, "drop" if publish else "", True, began, ended, Outcome.NODE, 0)
        )


def prepare(fleet: FleetLab) -> None:
    """Give each node a small disk and a clock that can be set."""
    for edge in fleet.edges:
        state = edge.box.directory / "state"
        state.mkdir()
        edge.host.sh("mount", "-t", "tmpfs", "-o", "size=700m,mode=755", "tmpfs", str(state))
        fleet.ends.callback(_unmount, edge, state)
        edge.settings = SETTINGS
        (edge.box.directory / "clock").write_text("+0")
        (edge.box.directory / "clock").chmod(0o644)
        edge.box.environment = {
            "LD_PRELOAD": _FAKETIME,
            "FAKETIME_TIMESTAMP_FILE": str(edge.box.directory / "clock"),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_CACHE_DURATION": "1",
        }


def _unmount(edge: Edge, state: Path) -> None:
    with suppress(Exception):
        edge.box.stop()
    _kill_etcd(edge)
    edge.host.sh("umount", "-l", str(state))


def _kill_etcd(edge: Edge) -> None:
    if edge.etcd:
        with suppress(ProcessLookupError):
            edge.kill_etcd(signal.SIGCONT)
            edge.kill_etcd()


def ending(edge: Edge) -> Ending:
    rules = {
        rule["match"]["source"]: f"{rule['action']} {rule['origin']}"
        for rule in edge.box.client.pages()
        if rule["match"].keys() == {"source"} and not rule["match"]["source"].startswith(CANARY)
    }
    verified = edge.call("GET", "/v1/audit/verify")
    problem = verified["problem"] or ""
    unsent = edge.call("GET", "/v1/fleet")["unsent"]
    return Ending(edge.name, rules, problem, unsent)


def same(fleet: FleetLab) -> bool:
    """Whether all nodes have the same rules, and no change is unsent."""
    endings = [ending(edge) for edge in fleet.edges]
    return all(node.rules == endings[0].rules and not node.unsent for node in endings)


def run(seconds: float, seed: int, least: int = 0) -> History:
    rng, history = random.Random(seed), History()
    with FleetLab() as fleet:
        prepare(fleet)
        fleet.found()
        first = fleet.edges[0]
        first.block(f"{CANARY}/32")
        until(lambda: all(f"src {CANARY}/32" in edge.sources() for edge in fleet.edges))
        traffic, stop = Traffic(fleet), threading.Event()
        leaks = traffic.watch(CANARY, stop)
        began = time.monotonic()
        clients, nemesis = Clients(fleet, began, rng), Nemesis(fleet, rng, began)
        clients.start()
        try:
            while time.monotonic() - began < seconds or len(nemesis.done) < least:
                nemesis.one()
                time.sleep(rng.uniform(2, 5))
        finally:
            clients.stop()
        print(f"{time.monotonic() - began:.1f} s clients stopped", flush=True)
        assert not clients.surprises, clients.surprises.most_common(5)
        healing = time.monotonic()
        with suppress(AssertionError):
            until(lambda: same(fleet))
        history.healed_seconds = time.monotonic() - healing
        stop.set()
        history.leaked = leaks.result()
        history.asked = [*clients.asked, *nemesis.tried]
        history.faults = nemesis.done
        history.endings = [ending(edge) for edge in fleet.edges]
        traffic.close()
        print(f"{time.monotonic() - began:.1f} s ended", flush=True)
    return history


def main() -> None:
    seconds, file = float(sys.argv[1]), Path(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else int(time.time())
    history = run(seconds, seed)
    history.save(file)
    kinds = {kind.value: sum(a.outcome is kind for a in history.asked) for kind in Outcome}
    faults, healed = len(history.faults), history.healed_seconds
    print(
        f"seed {seed}: {len(history.asked)} asked {kinds}, {faults} faults, healed in {healed:.1f}"
    )


if __name__ == "__main__":
    main()
