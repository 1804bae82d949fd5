# SPDX-License-Identifier: GPL-2.0-or-later
"""Changes that this node tries alone: they are published for all, or taken back."""

import time
from collections.abc import Callable, Iterator
from functools import partial

import msgspec
from msgspec import structs

from xdpctl.base.durations import show_duration
from xdpctl.control.state.draft import Draft
from xdpctl.control.state.shared import tried_now
from xdpctl.errors import EngineError, NotFoundError, RuleError, XdpctlError
from xdpctl.fleet import keys
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.agent.trying import Done, publish, take_back, went_on
from xdpctl.fleet.intent import POLICY, decode
from xdpctl.fleet.rollout import Wellbeing, against
from xdpctl.model.shared import Outcome, Rollout
from xdpctl.notify.changes import News, Severity
from xdpctl.notify.settings import Kind

_text = msgspec.json.Decoder(str)
_SECONDS, _LOOKS = 5.0, 2  # between two looks, and looks for which something speaks against it
_LEAST_SHARE = 0.5  # of the time for which a process has looked at it
_KEPT = 20  # that have ended
_TITLES = {
    Outcome.PUBLISHED: "a rollout went well",
    Outcome.BACK: "a rollout was taken back",
    Outcome.HELD: "a rollout waits for a decision",
}


class Rollouts:
    """Judges the rollouts that begin on this node; call `step` about once a second.

    `how` says how this node is, `set_policy` applies a policy here, and `policy` is that in force.
    """

    def __init__(
        self,
        member: Member,
        how: Callable[[], Wellbeing],
        set_policy: Callable[[str], None],
        policy: Callable[[], str],
        tell: Callable[[News], None],
    ) -> None:
        self._member, self._how, self._tell = member, how, tell
        self._set_policy, self._policy = set_policy, policy
        self._next, self._bad = 0.0, dict[str, int]()
        self._looked = dict[str, float]()  # when this process began to look (Unix time)

    @property
    def open(self) -> dict[str, Rollout]:
        """Those that go on or wait for a person, by the numbers of their changes."""
        every = list(self._member.controller.state.rollouts.items())
        return {number: rollout for number, rollout in every if tried_now(rollout)}

    def texts(self) -> Iterator[str]:
        """A sentence for each of them."""
        now = self._unix()
        for number, rollout in self.open.items():
            left = max(0.0, rollout.until - now)
            ends = f"for {show_duration(left)} more" if not rollout.outcome else rollout.why
            yield f"tries {_what(rollout)} of {rollout.by} ({number}): {ends}"

    def step(self) -> None:
        """Look at those that go on, and end those that are due."""
        going = {number: each for number, each in self.open.items() if each.outcome is None}
        if not going or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _SECONDS
        seen = self._how()
        for number, rollout in going.items():
            try:
                self._look(number, rollout, seen)
            except NotFoundError:
                continue  # a person has just ended it
            except EngineError as error:
                self._member.hear(error)
            except XdpctlError as error:
                self._end(number, "xdpctl", lambda *_, why=str(error): Done(Outcome.HELD, why))

    def _look(self, number: str, rollout: Rollout, seen: Wellbeing) -> None:
        looked = self._looked.setdefault(number, unix := self._unix())
        if not rollout.word:
            begun = structs.replace(rollout, word=seen.word, failing=tuple(seen.failing))
            return self._member.do(lambda draft: draft.rollouts.__setitem__(number, begun))
        state = self._member.controller.state
        if rollout.policy is not None and went_on(state.shared.get(POLICY), rollout, POLICY):
            return self.publish(number, "xdpctl", "")  # which takes it back: another one was set
        ids = {key.partition("/")[2] for key in rollout.keys if key.startswith("rules/")}
        rules = [rule for rule in state.all_rules() if rule.id in ids]
        why = against(rollout, seen, rules, state.collateral)
        self._bad[number] = self._bad.get(number, 0) + 1 if why else 0
        if self._bad[number] >= _LOOKS:
            self.take_back(number, "xdpctl", why)
        elif unix >= max(rollout.until, looked + _LEAST_SHARE * (rollout.until - rollout.at)) and (
            not why
        ):
            if seen.observed:
                self.publish(number, "xdpctl", "nothing speaks against it")
            elif unix >= 2 * rollout.until - rollout.at:
                why = "it cannot be judged: the traffic of this node is not observed"
                outcome = Outcome.HELD if rollout.keys else Outcome.BACK  # a node alone is judged
                self._end(number, "xdpctl", lambda *_: Done(outcome, why))

    def _unix(self) -> float:
        return self._member.controller.clock.read().unix

    def begin(self, by: str, seconds: float, policy: str | None = None) -> str:
        """Try a policy of the fleet on this node, or judge the node as it is; the rollout's number.

        RuleError while another one of this kind goes on or waits. ConfigError for a policy that is
        not valid.
        """
        if any(each.policy is not None or not each.keys for each in self.open.values()):
            raise RuleError("another one goes on here", "canary", "wait until it has ended")
        before = self._policy()
        if policy is not None:
            self._set_policy(policy)

        def operation(draft: Draft) -> str:
            at, shared = draft.now.unix, draft.shared.get(POLICY)
            number = int(at)  # no change has so large a number
            while draft.rollouts.get(str(number)):
                number += 1
            touched = {} if policy is None else {POLICY: shared.revision if shared else 0}
            draft.rollouts[str(number)] = Rollout(by, at, at + seconds, touched, policy, before)
            draft.note(by, "fleet.try", str(number), seconds=seconds)
            return str(number)

        return self._member.do(operation)

    def publish(self, number: str, by: str, why: str) -> None:
        """Publish what this node has tried for all nodes; NotFoundError."""
        stored, hits = self._stored(number), self._member.controller.hits
        work = partial(publish, stored=stored, hits=hits, by=by, why=why)
        self._end(number, by, work)
        self._member.stated.set()

    def take_back(self, number: str, by: str, why: str) -> None:
        """Put back on this node what was before; NotFoundError."""
        stored, hits = self._stored(number), self._member.controller.hits
        rollout = self._known(number)
        if rollout.policy is not None:
            try:
                standing = self._standing_policy()
            except EngineError:
                standing = rollout.before
            self._set_policy(standing)
        forgotten = rollout.outcome is Outcome.HELD and not stored
        if forgotten:  # a person wants it to end, although nothing can be put back
            why += "; its records stay as they are"
        parts = None if forgotten else stored
        self._end(number, by, partial(take_back, stored=parts, hits=hits, by=by, why=why))

    def _known(self, number: str) -> Rollout:
        """One that goes on or waits; NotFoundError."""
        if number not in self.open:
            raise NotFoundError(f"no rollout {number[:20]!r} goes on here; see xdpctl fleet status")
        return self.open[number]

    def _stored(self, number: str) -> list[bytes]:
        """The parts of its change; none for a policy, or if the history has forgotten it."""
        rollout = self._known(number)
        tried = rollout.keys and rollout.policy is None
        return self._member.controller.store.parts(int(number)) if tried else []

    def _standing_policy(self) -> str:
        """The policy that the fleet has; "" for none. EngineError."""
        kv = self._member.engine.get(keys.intent(POLICY))
        intent = decode(kv.value) if kv and kv.value else None
        return _text.decode(bytes(intent.data)) if intent and not intent.removed else ""

    def _end(self, number: str, by: str, work: Callable[[Draft, str, Rollout], Done]) -> None:
        """End it as `work` says, in one transaction, and tell people. NotFoundError."""
        self._bad.pop(number, None)
        self._looked.pop(number, None)

        def operation(draft: Draft) -> Rollout:
            rollout = draft.rollouts.get(number)
            if rollout is None or not tried_now(rollout):
                raise NotFoundError(f"the rollout {number} has ended already")
            done = work(draft, number, rollout)
            ended = structs.replace(rollout, outcome=done.outcome, why=done.why)
            _keep(draft, number, ended)
            draft.note(by, "fleet.tried", number, outcome=done.outcome.value, why=done.why)
            return ended

        ended = self._member.do(operation)
        outcome = ended.outcome or Outcome.HELD
        level = Severity.SUCCESS if outcome is Outcome.PUBLISHED else Severity.WARNING
        text = f"{_what(ended)} of {ended.by} on {self._member.name}, {outcome.value}: {ended.why}"
        title = _TITLES[outcome]
        self._tell(News(Kind.TROUBLE, f"rollout {number} {outcome}", title, text, level=level))


def _keep(draft: Draft, number: str, ended: Rollout) -> None:
    """Keep one that has ended, and the newest of the others."""
    draft.rollouts[number] = ended
    others = [(each.at, n) for n, each in draft.state.rollouts.items() if not tried_now(each)]
    for _, old in sorted(others)[: -_KEPT + 1]:
        draft.rollouts[old] = None


def _what(rollout: Rollout) -> str:
    """What is tried, in words."""
    if rollout.policy is not None:
        return "a policy"
    if not rollout.keys:
        return "the node as it is"
    more = f" and {len(rollout.keys) - 1:,} more" if len(rollout.keys) > 1 else ""
    return f"{next(iter(rollout.keys))}{more}"
