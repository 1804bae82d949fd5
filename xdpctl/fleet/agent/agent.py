# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent of this node: its threads, and what the API asks of it."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.control.state.shared import Sharing, tried
from xdpctl.errors import RuleError
from xdpctl.fleet.agent import everywhere
from xdpctl.fleet.agent.detected import Detected
from xdpctl.fleet.agent.digests import Comparison
from xdpctl.fleet.agent.follower import POSITION, Follower
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.agent.records import forget_fleet, known
from xdpctl.fleet.agent.reporter import HowItIs, Reporter
from xdpctl.fleet.agent.rollouts import Rollouts
from xdpctl.fleet.agent.rounds import Rounds
from xdpctl.fleet.agent.sender import Sender
from xdpctl.fleet.agent.specials import Specials
from xdpctl.fleet.agent.watching import Watching
from xdpctl.fleet.agent.whereabouts import Whereabouts
from xdpctl.fleet.agent.yielding import again, forget
from xdpctl.fleet.answer import Where
from xdpctl.fleet.backups import missing
from xdpctl.fleet.credentials import Credentials
from xdpctl.fleet.endpoints import Endpoints
from xdpctl.fleet.engine.client import Engine
from xdpctl.fleet.engine.members import Members
from xdpctl.fleet.intent import content
from xdpctl.fleet.node import Card
from xdpctl.fleet.revocations import Revocations
from xdpctl.fleet.rollout import Wellbeing
from xdpctl.fleet.settings import FleetSettings
from xdpctl.fleet.standing import Standing
from xdpctl.fleet.story import Story, joined
from xdpctl.fleet.troubles import Trouble
from xdpctl.model.shared import Unsent
from xdpctl.model.wait import Wait
from xdpctl.notify.changes import News


class Agent:
    """Connects a controller with its fleet from `start` to `stop`.

    `health` returns the problems of this node and its condition in one word; `set_policy` applies
    a policy, and `policy` is the one in force; `set_module` takes a module over; `tell` notifies
    people; `how` says how this node is.
    """

    def __init__(
        self,
        settings: FleetSettings,
        controller: Controller,
        health: HowItIs,
        set_policy: Callable[[str], None],
        set_module: Callable[[str, str], None],
        tell: Callable[[News], None] = lambda news: None,
        how: Callable[[], Wellbeing] = lambda: Wellbeing("unclear", "", {}, False),
        policy: Callable[[], str] = str,
    ) -> None:
        self._credentials = Credentials(settings)
        endpoints = Endpoints(settings)
        engine = Engine(
            endpoints.now, self._credentials.load, settings.prefix, settings.server_name
        )
        if position := controller.state.followed.get(POSITION):
            engine.fleet, engine.epoch = position.fleet, position.epoch
        self.member = Member(settings, controller, engine, states=self._credentials.states())
        self.specials = Specials(controller, set_policy, set_module)
        self.rollouts = Rollouts(self.member, how, set_policy, policy, tell)
        self.detected = Detected(self.member)
        ended = partial(self.detected.note, ended=True)
        self.follower = Follower(self.member, self.specials, ended)
        self.sender = Sender(self.member, self.follower)
        self.comparison = Comparison(self.member, self.follower)
        self.reporter = self._reporter(endpoints, health)
        self.whereabouts = Whereabouts(self.member, self.reporter, self.sender)
        self.revocations = Revocations(settings)
        self.revocations.load()
        self.rounds = Rounds(
            self.member,
            self._credentials,
            self.follower,
            self.reporter,
            self.detected,
            Standing(engine, self._credentials, self.revocations, endpoints),
            self.rollouts.step,
        )
        controller.sharing = self._sharing()
        self.watching = self._watching(endpoints, tell)
        self._numbers = count(-1, -1)  # for intents that are no change of this node
        self._threads = [
            threading.Thread(target=part.run, name=f"fleet {type(part).__name__}", daemon=True)
            for part in (self.follower, self.sender, self.reporter, self.rounds, self.watching)
        ]

    def _reporter(self, endpoints: Endpoints, health: HowItIs) -> Reporter:
        groups = self.member.settings.groups
        return Reporter(
            self.member,
            health,
            Card(groups, self._credentials.address(), time.time()),
            self._credentials.expires(),
            lambda: endpoints.now,
            lambda: self.comparison.own,
            self.rollouts.texts,
        )

    def _watching(self, endpoints: Endpoints, tell: Callable[[News], None]) -> Watching:
        return Watching(
            self.member,
            Members(
                lambda: endpoints.members,
                self._credentials.load,
                self._cluster,
                lambda: self.member.engine.patience,
            ),
            self.reporter,
            self.whereabouts.looked,
            self.rounds.feeds,
            self._problems,
            self.comparison,
            tell,
        )

    def _cluster(self) -> str:
        """The engine's cluster that this node follows; "" while it has followed none."""
        position = self.member.controller.state.followed.get(POSITION)
        return position.cluster if position else ""

    def _sharing(self) -> Sharing:
        """The callbacks by which the controller informs this agent."""
        return Sharing(
            self.member.stated.set,
            self.detected.note,
            self.whereabouts.covers,
            lambda field, value, now: bytes(content(field, value, now)),
            self.member.states,
        )

    def start(self) -> None:
        self.comparison.begin()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads; the node's rules stay, and unsent intents are sent after a restart."""
        if self.member.stopping.is_set():
            return
        self.rounds.feeds.give_up()
        self.member.stopping.set()
        self.member.stated.set()
        self.member.moved.set()
        self.member.engine.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(5)

    def warnings(self) -> list[str]:
        """What is wrong with the fleet, and between this node and its fleet, one line each."""
        return list(map(str, self.watching.troubles()))

    def _problems(self) -> Iterator[Trouble]:
        """What is wrong with what this node has from its fleet."""
        found = {f"special {key}": text for key, text in self.specials.problems.items()}
        found |= {f"certificate {n}": t for n, t in enumerate(self._credentials.warnings())}
        found["revocations"] = self.revocations.problem
        found["backup"] = missing(self.member.settings)
        for key, text in found.items():
            what, mark, more = text.partition(":")
            if text:
                yield Trouble(key, what, mark + more, shared=False)

    def may_fetch(self, name: str) -> bool:
        """Whether this node fetches the feed of a set: one of its own, or for the fleet."""
        state = self.member.controller.state
        key = f"sets/{name}"
        shared = key in state.unsent or (key in state.shared and state.shared[key].stands)
        return not shared or self.rounds.feeds.mine

    def state(
        self, key: str, by: str, data: bytes | None, scope: str = "", change: int = 0
    ) -> None:
        """Publish an intent that is no record of this node; `data` None removes the intent."""

        def operation(draft: Draft) -> None:
            shared, unsent = draft.shared.get(key), draft.unsent.get(key)
            base = unsent.base if unsent else shared.revision if shared else 0
            draft.unsent[key] = Unsent(
                by, draft.now.unix, base, scope, data is None, data or b"", change
            )
            draft.note(by, "fleet.state", key, scope=scope or "all", removed=data is None)

        self.member.do(operation)
        self.member.stated.set()

    def state_and_wait(self, key: str, by: str, data: bytes | None) -> Where:
        """Publish an intent for all nodes, and wait until they have it; two seconds at most.

        RuleError on a node that only follows.
        """
        self._require_stating()
        number = next(self._numbers)
        self.state(key, by, data, change=number)
        return self.whereabouts.wait(number, [key], Wait.ALL)

    def _require_stating(self) -> None:
        if not self.member.states:
            raise RuleError(
                "this node only follows its fleet, and states nothing for others",
                "node",
                "ask another node: --node NAME",
            )

    def share_all(self, by: str) -> int:
        """Publish all rules, sets, tokens and settings that only this node has; return how many.

        RuleError on a node that only follows.
        """
        self._require_stating()

        def operation(draft: Draft) -> int:
            every = self.rounds.telling.own_keys()
            unshared = [key for key in every if not known(draft, key) and not tried(draft, key)]
            for key in unshared:
                draft.unsent[key] = Unsent(by, draft.now.unix)
            draft.note(by, "fleet.share", "", intents=len(unshared), first=unshared[:20])
            return len(unshared)

        number = self.member.do(operation)
        self.member.stated.set()
        return number

    def settle(self, key: str, by: str, leave: bool) -> str:
        """Ask again for what gave way, or leave it; what that is. NotFoundError, or RuleError."""
        self._require_stating()
        me, hits = self.member.settings, self.member.controller.hits
        ask = partial(forget) if leave else partial(again, me=me, hits=hits)
        settled = self.member.do(lambda draft: ask(draft, key, by))
        self.member.stated.set()
        return settled.what

    def leave(self, by: str) -> int:
        """Keep all records as this node's own, and forget the fleet; how many intents it had."""

        def operation(draft: Draft) -> int:
            number = forget_fleet(draft)
            draft.note(by, "fleet.leave", "", intents=number)
            return number

        number = self.member.do(operation)
        self.member.controller.sharing = None
        self.stop()
        return number

    def stories(self) -> list[Story]:
        """The incidents of all nodes, joined; EngineError if the engine does not answer."""
        return joined(everywhere.incidents(self.member.engine))

    def history(self, limit: int) -> list[everywhere.FleetChange]:
        """The newest changes of all nodes; EngineError if the engine does not answer."""
        return everywhere.history(self.member.engine, limit)

    def parts(self, node: str, number: int) -> tuple[bytes, ...]:
        """What undoes a change of a node; NotFoundError, or EngineError."""
        return everywhere.parts(self.member.engine, node, number)
