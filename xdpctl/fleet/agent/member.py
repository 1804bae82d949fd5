# SPDX-License-Identifier: GPL-2.0-or-later
"""What the threads of an agent share: settings, controller, engine and its leases, health."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.errors import EngineError
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.node import SILENT_SECONDS
from xdpctl.fleet.settings import FleetSettings
from xdpctl.fleet.shards import Manifest
from xdpctl.model.source_set import Entries


class Leases:
    """One lease for each bucket of time; no key ends too early. Usable from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._held: dict[tuple[float, int], tuple[int, float]] = {}  # id, and the end (monotonic)

    def until(self, seconds: float) -> int:
        """A lease that lasts at least so many seconds from now."""
        width = max(_LEAST, 2.0 ** int(seconds / _SHARE).bit_length())
        now = time.monotonic()
        bucket = int((now + seconds) // width) + 1
        with self._lock:
            lease = self._held.get((width, bucket))
            if lease is None or lease[1] < now + seconds:
                lasts = bucket * width - now + _AFTER
                lease = self._engine.grant(lasts), now + lasts
                self._forget(now)
                self._held[width, bucket] = lease
            return lease[0]

    def forget(self) -> None:
        """Forget all leases: the engine does not know them any more."""
        with self._lock:
            self._held.clear()

    def _forget(self, now: float) -> None:
        self._held = {bucket: lease for bucket, lease in self._held.items() if lease[1] > now}


_JOB_SECONDS = 60.0
_REFUSED_MAX = 10_000  # any node can publish a million intents that no node can apply
_AHEAD = 100  # revisions that a report names
_REMEMBERED = 1_000  # changes, for callers that ask for them later
T = TypeVar("T")
_AFTER = 120.0  # seconds for which a key outlives its rule: nodes end rules automatically
_LEAST, _SHARE = 60.0, 16  # width of a bucket in seconds: a part of the time that is left


@dataclass(slots=True)
class Contact:
    """When the engine, with a majority of its members, last answered; and its present problem."""

    at: float = 0.0  # monotonic; 0: never
    began: float = field(default_factory=time.monotonic)
    problem: str = ""
    patience: float = 0.0  # of the engine: how far away it is

    def made(self) -> None:
        """Note that the engine answered."""
        self.at, self.problem = time.monotonic(), ""

    def lost(self, error: Exception) -> None:
        """Note that the engine did not answer."""
        self.problem = str(error)

    @property
    def silent(self) -> float:
        """Seconds since the engine last answered, or since the start."""
        return time.monotonic() - (self.at or self.began)

    @property
    def isolated(self) -> bool:
        """Whether this node is cut off."""
        return self.silent > SILENT_SECONDS + 2 * self.patience


@dataclass(slots=True)
class KnownSet:
    """A set as the engine has it, at a revision."""

    manifest: Manifest
    entries: Entries
    revision: int


@dataclass(slots=True)
class Member:
    """This node in its fleet. `applied` is the engine's revision up to which it has followed.

    `ahead` has later revisions that it has taken over already, since they are urgent.
    """

    settings: FleetSettings
    controller: Controller
    engine: Engine
    contact: Contact = field(default_factory=Contact)
    applied: int = 0
    ahead: tuple[int, ...] = ()
    states: bool = True  # whether this node may publish intents
    sets: dict[str, KnownSet] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # intents, with why
    leases: Leases = field(init=False)
    stopping: threading.Event = field(default_factory=threading.Event)
    stated: threading.Event = field(default_factory=threading.Event)
    moved: threading.Event = field(default_factory=threading.Event)  # there is news to report
    damaged: dict[str, str] = field(default_factory=dict)  # by endpoint: such a key
    conflicts: dict[int, str] = field(default_factory=dict)  # by the number of the change
    reached: dict[int, int] = field(default_factory=dict)  # revisions, by the number of the change

    def __post_init__(self) -> None:
        self.leases = Leases(self.engine)
        shared = self.controller.state.shared
        self.refused |= {key: record.refused for key, record in shared.items() if record.refused}

    @property
    def name(self) -> str:
        """The name of this node."""
        return self.settings.name

    def reach(self, change: int, revision: int) -> None:
        """Note that the engine has a part of a change at a revision; the last thousand are kept."""
        self.reached[change] = max(self.reached.get(change, 0), revision)
        while len(self.reached) > _REMEMBERED:
            self.reached.pop(next(iter(self.reached)), None)

    def reach_ahead(self, revisions: Iterable[int]) -> None:
        """Note revisions beyond `applied` that were taken over already; the newest are kept."""
        beyond = {revision for revision in (*self.ahead, *revisions) if revision > self.applied}
        self.ahead = tuple(sorted(beyond)[-_AHEAD:])

    def give_way(self, change: int, why: str) -> None:
        """Note that a change gave way to another node's; the last thousand are kept."""
        self.conflicts[change] = why
        while len(self.conflicts) > _REMEMBERED:
            self.conflicts.pop(next(iter(self.conflicts)), None)

    def refuse(self, why: Mapping[str, str]) -> None:
        """Note intents that this node does not apply; the last ten thousand are kept."""
        self.refused |= why
        for key in list(self.refused)[: max(0, len(self.refused) - _REFUSED_MAX)]:
            self.refused.pop(key, None)

    def know(self, name: str, known: KnownSet) -> None:
        """Remember a set as the engine has it, unless a later version is known."""
        previous = self.sets.get(name)
        if previous is None or previous.revision <= known.revision:
            self.sets[name] = known

    def do(self, operation: Callable[[Draft], T]) -> T:
        """Submit an operation that is not to be sent to the fleet, and wait for the result."""
        return self.controller.submit(operation, scope=None).result(_JOB_SECONDS)

    def hear(self, error: EngineError) -> None:
        """Note that the engine did not answer; forget the leases if it does not know them."""
        if "lease not found" in str(error):
            self.leases.forget()
        self.contact.lost(error)
