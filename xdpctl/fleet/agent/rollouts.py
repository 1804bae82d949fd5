# SPDX-License-Identifier: GPL-2.0-or-later
"""Changes that this node tries alone: they are published for all, or taken back."""

import time
from collections.abc import Callable, Iterator
from functools import partial

import msgspec
from msgspec import structs

from xdpctl.base.durations import show_duration
from xdpctl.control.state import changes
from xdpctl.control.state.draft import Draft
from xdpctl.errors import NotFoundError, RuleError, XdpctlError
from xdpctl.fleet import keys
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.agent.records import current
from xdpctl.fleet.intent import decode
from xdpctl.fleet.rollout import Wellbeing, against
from xdpctl.mitigation.undo import undo_change
from xdpctl.model.identity import Caller, Role
from xdpctl.model.rule import OPERATOR
from xdpctl.model.shared import Outcome, Rollout, Shared, Unsent
from xdpctl.notify.changes import News, Severity
from xdpctl.notify.settings import Kind

_text = msgspec.json.Decoder(str)
POLICY = "policy/automatic"
_SECONDS, _LOOKS = 5.0, 2  # between two looks, and looks for which something speaks against it
_KEPT = 20  # that have ended
_TITLES = {
    Outcome.PUBLISHED: "a rollout went well",
    Outcome.BACK: "a rollout was taken back",
    Outcome.HELD: "a rollout waits for a decision",
}


class Rollouts:
    """Judges the rollouts that begin on this node; call `step` about once a second.

    `how` says how this node is, and `set_policy` applies a policy here.
    """

    def __init__(
        self,
        member: Member,
        how: Callable[[], Wellbeing],
        set_policy: Callable[[str], None],
        tell: Callable[[News], None],
    ) -> None:
        self._member, self._how = member, how
        self._set_policy, self._tell = set_policy, tell
        self._next, self._bad = 0.0, dict[str, int]()

    @property
    def going(self) -> dict[str, Rollout]:
        """Those that go on, by the numbers of their changes."""
        every = list(self._member.controller.state.rollouts.items())
        return {number: rollout for number, rollout in every if rollout.outcome is None}

    def texts(self) -> Iterator[str]:
        """A sentence for each that goes on, or waits for a person."""
        now = self._member.controller.clock.read().unix
        for number, rollout in list(self._member.controller.state.rollouts.items()):
            if rollout.outcome in (None, Outcome.HELD):
                left = max(0.0, rollout.until - now)
                ends = f"for {show_duration(left)} more" if not rollout.outcome else rollout.why
                yield f"tries {_what(rollout)} of {rollout.by} ({number}): {ends}"

    def step(self) -> None:
        """Look at those that go on, and end those that are due."""
        going = self.going
        if not going or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _SECONDS
        seen = self._how()
        for number, rollout in going.items():
            self._look(number, rollout, seen)

    def _look(self, number: str, rollout: Rollout, seen: Wellbeing) -> None:
        unix = self._member.controller.clock.read().unix
        if not rollout.word:
            begun = structs.replace(rollout, word=seen.word, failing=tuple(seen.failing))
            self._member.do(partial(_keep, number=number, rollout=begun))
            return
        state = self._member.controller.state
        ids = {key.partition("/")[2] for key in rollout.keys if key.startswith("rules/")}
        if rollout.policy is not None and _later(state.shared.get(POLICY), rollout.keys[POLICY]):
            return self._end(number, Outcome.BACK, "another policy was set meanwhile", "xdpctl")
        rules = [rule for rule in state.all_rules() if rule.id in ids]
        why = against(rollout, seen, rules, state.collateral)
        self._bad[number] = self._bad.get(number, 0) + 1 if why else 0
        if self._bad[number] >= _LOOKS:
            self.take_back(number, "xdpctl", why)
        elif unix >= rollout.until and not why:
            if seen.observed:
                self.publish(number, "xdpctl", "nothing speaks against it")
            elif unix >= 2 * rollout.until - rollout.at:
                why = "it cannot be judged: the traffic of this node is not observed"
                self._end(number, Outcome.HELD, why, "xdpctl")

    def known(self, number: str) -> Rollout:
        """One that goes on or waits; NotFoundError."""
        rollout = self._member.controller.state.rollouts.get(number)
        if rollout is None or rollout.outcome not in (None, Outcome.HELD):
            raise NotFoundError(f"no rollout {number[:20]!r} goes on here; see xdpctl fleet status")
        return rollout

    def begin(self, by: str, seconds: float, policy: str | None = None) -> str:
        """Try a policy of the fleet on this node, or judge the node as it is; the rollout's number.

        RuleError while another one of this kind goes on. ConfigError for a policy that is not
        valid.
        """
        if any(each.policy is not None or not each.keys for each in self.going.values()):
            raise RuleError("another one goes on here", "canary", "wait until it has ended")
        if policy is not None:
            self._set_policy(policy)
        number = str(self._member.controller.change_by(Caller(by, Role.OPERATOR, OPERATOR)).number)

        def operation(draft: Draft) -> None:
            at, shared = draft.now.unix, draft.shared.get(POLICY)
            keys = {} if policy is None else {POLICY: shared.revision if shared else 0}
            draft.rollouts[number] = Rollout(by, at, at + seconds, keys, policy)
            draft.note(by, "fleet.try", number, seconds=seconds)

        self._member.do(operation)
        return number

    def publish(self, number: str, by: str, why: str) -> None:
        """Publish what this node has tried for all nodes; NotFoundError."""
        rollout = self.known(number)
        if rollout.policy is not None:
            self._member.do(lambda draft: _publish_policy(draft, rollout))
        elif rollout.keys:
            stored = self._member.controller.store.parts(int(number))
            left = self._member.do(lambda draft: _publish(draft, number, rollout, stored))
            if left == len(rollout.keys):
                return self.take_back(number, by, "it was changed or ended meanwhile")
            if left:
                why += f"; {left:,} of its records were changed since, and stay here"
        self._member.stated.set()
        self._end(number, Outcome.PUBLISHED, why, by)

    def take_back(self, number: str, by: str, why: str) -> None:
        """Put back on this node what was before; NotFoundError."""
        rollout, hits = self.known(number), self._member.controller.hits
        if rollout.policy is not None:
            self._set_policy(self._standing_policy())
        elif rollout.keys:
            stored = self._member.controller.store.parts(int(number))
            who = Caller(by, Role.OPERATOR, OPERATOR)
            undone = self._member.do(
                lambda draft: undo_change(draft, int(number), stored, who, hits)
            )
            if undone.kept:
                why += f"; not put back: {undone.kept:,}, such as {': '.join(undone.reasons[0])}"
        self._end(number, Outcome.BACK, why, by)

    def _standing_policy(self) -> str:
        """The policy that the fleet has; "" for none."""
        kv = self._member.engine.get(keys.intent(POLICY))
        intent = decode(kv.value) if kv and kv.value else None
        return _text.decode(bytes(intent.data)) if intent and not intent.removed else ""

    def _end(self, number: str, outcome: Outcome, why: str, by: str) -> None:
        rollout = structs.replace(self.known(number), outcome=outcome, why=why)
        self._bad.pop(number, None)

        def operation(draft: Draft) -> None:
            _keep(draft, number, rollout)
            draft.note(by, "fleet.tried", number, outcome=outcome.value, why=why)

        self._member.do(operation)
        level = Severity.SUCCESS if outcome is Outcome.PUBLISHED else Severity.WARNING
        text = f"{_what(rollout)} of {rollout.by} on {self._member.name}, {outcome.value}: {why}"
        title = _TITLES[outcome]
        self._tell(News(Kind.TROUBLE, f"rollout {number} {outcome}", title, text, level=level))


def _keep(draft: Draft, number: str, rollout: Rollout) -> None:
    """Keep a rollout, and the newest of those that have ended."""
    draft.rollouts[number] = rollout
    ended = [n for n, each in draft.state.rollouts.items() if each.outcome and n != number]
    for old in sorted(ended, key=int)[: -_KEPT + 1]:
        draft.rollouts[old] = None


def _publish(draft: Draft, number: str, rollout: Rollout, stored: list[bytes]) -> int:
    """Publish the records that are as the change left them; how many are not."""
    try:
        touched = {p.kind.key(p.identity): p for p in changes.parts(draft, stored)}
    except (ValueError, TypeError, KeyError, XdpctlError) as error:
        raise RuleError(f"change {number} cannot be read: {error}", "number", "undo it") from error
    left = 0
    for key in rollout.keys:
        removed = key in touched and touched[key].after is None
        if (current(draft, key) is None) is not removed:
            left += 1
            continue
        shared = draft.shared.get(key)
        if _later(shared, rollout.keys[key]):
            left += 1
            continue
        base = shared.revision if shared else 0
        draft.unsent[key] = Unsent(rollout.by, draft.now.unix, base, "", removed, b"", int(number))
    return left


def _later(shared: Shared | None, revision: int) -> bool:
    """Whether the fleet has another intent than the one of that revision."""
    return shared is not None and shared.revision > revision


def _publish_policy(draft: Draft, rollout: Rollout) -> None:
    shared, policy = draft.shared.get(POLICY), rollout.policy
    base, data = shared.revision if shared else 0, msgspec.json.encode(policy) if policy else b""
    draft.unsent[POLICY] = Unsent(rollout.by, draft.now.unix, base, "", not policy, data)


def _what(rollout: Rollout) -> str:
    """What is tried, in words."""
    if rollout.policy is not None:
        return "a policy"
    if not rollout.keys:
        return "the node as it is"
    more = f" and {len(rollout.keys) - 1:,} more" if len(rollout.keys) > 1 else ""
    return f"{next(iter(rollout.keys))}{more}"
