# SPDX-License-Identifier: GPL-2.0-or-later
"""What keeps a fleet from its work: its engine, and its nodes. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from xdpctl.base.durations import show_duration
from xdpctl.base.text import printable
from xdpctl.base.units import si3
from xdpctl.fleet.engine.values import EngineMember
from xdpctl.fleet.node import SILENT_SECONDS, Seen
from xdpctl.fleet.relays import SeenRelay
from xdpctl.fleet.settings import QUOTA

_FULL = 0.8  # of the engine's quota
_BEHIND = 5_000  # changes; etcd then sends a member everything anew
_NAMED = 10  # nodes, each on its own; the rest is counted
_ALARMS = {
    "NOSPACE": (
        "the engine is full",
        ": changes stay on the node where they were made. xdpctl fleet upkeep",
    ),
    "CORRUPT": (
        "the data of one of the engine's members is damaged",
        ", so that it takes no changes: revoke that member, and let it join anew",
    ),
}


class MemberState(StrEnum):
    """What a member of the engine does, as this node sees it."""

    LEADS = "leads"
    FOLLOWS = "follows"
    LEARNER = "learner"
    LOST = "lost"
    SILENT = "silent"


_WORDS = {MemberState.LEARNER: "does not vote yet", MemberState.LOST: "knows no leader"}


class Trouble(NamedTuple):
    """One of them; `key` and `what` are the same while it lasts, `more` goes on with the sentence.

    `shared`: every node sees it, so that one of them tells people.
    """

    key: str
    what: str
    more: str = ""
    shared: bool = True

    def __str__(self) -> str:
        return self.what + self.more


@dataclass(frozen=True, slots=True)
class Quorum:
    """How many members vote, and how many of these answer and know a leader."""

    voting: int
    answering: int

    @property
    def may_fail(self) -> int:
        """How many more may fail; negative: changes cannot be kept now."""
        return self.answering - (self.voting // 2 + 1)

    def __str__(self) -> str:
        answers = f"{self.answering} of {self.voting} members answer"
        if self.may_fail < 0:
            return f"{answers}: no quorum"
        return f"{answers}; {_number(self.may_fail)} of them may fail"


def answers(member: EngineMember, now: float) -> bool:
    """Whether a member answers this node and knows a leader, as of `now` (monotonic)."""
    return state_of(member, now) not in (MemberState.SILENT, MemberState.LOST)


def state_of(member: EngineMember, now: float) -> MemberState:
    """What a member does, as of `now` (monotonic seconds)."""
    if member.silent(now) > SILENT_SECONDS:
        return MemberState.SILENT
    if not member.led:
        return MemberState.LOST
    if not member.votes:
        return MemberState.LEARNER
    return MemberState.LEADS if member.leads else MemberState.FOLLOWS


def words_of(member: EngineMember, now: float) -> str:
    """The same in words."""
    state = state_of(member, now)
    if not member.heard:
        return "has not answered"
    if state is MemberState.SILENT:
        return f"silent for {show_duration(member.silent(now))}"
    return _WORDS.get(state, state.value)


def quorum(members: Collection[EngineMember], now: float) -> Quorum:
    """The quorum as of `now` (monotonic seconds)."""
    voting = [member for member in members if member.votes]
    return Quorum(len(voting), sum(answers(member, now) for member in voting))


def of_engine(members: Collection[EngineMember], now: float) -> Iterator[Trouble]:
    """What is wrong with the engine's members."""
    left = quorum(members, now)
    newest = max((member.applied for member in members), default=0)
    for member in members:
        if not member.endpoint:
            continue  # it has not joined yet
        key, name = f"member {member.name}", f"the engine's member {member.name}"
        if not answers(member, now):
            what, since = _silent(member, now)
            yield Trouble(key, f"{name} {what}", f"{since}: {_left(left)}")
        elif newest - member.applied > _BEHIND:
            more = f": {newest - member.applied:,} changes"
            yield Trouble(f"{key} behind", f"{name} is behind the others", more)
        if member.bytes > _FULL * QUOTA:
            more = f": {si3(member.bytes)}B of at most {si3(QUOTA)}B. xdpctl fleet upkeep"
            yield Trouble(f"{key} fills", f"the database of {name} fills", more)
    for alarm in sorted({alarm for member in members for alarm in member.alarms}):
        what, more = _ALARMS.get(alarm, (f"etcd raises the alarm {alarm}", ""))
        yield Trouble(f"alarm {alarm}", what, more)


def of_own_member(members: Collection[EngineMember], name: str) -> Iterator[Trouble]:
    """What is wrong with the etcd of this host."""
    if members and not any(m.name == name or not m.endpoint for m in members):
        what = "the etcd of this host is no member of the engine any more"
        yield Trouble("no member", what, ". On it: xdpctl fleet demote --force", shared=False)


def of_damage(damaged: Mapping[str, str], members: Iterable[EngineMember]) -> Iterator[Trouble]:
    """The members that have damaged data, by endpoint with a key that is damaged there."""
    names = {member.endpoint: member.name for member in members}
    for endpoint, key in damaged.items():
        name = names.get(endpoint, endpoint)
        more = f": {printable(key, 80)}. Revoke {name}, and let it join anew with --member"
        yield Trouble(f"damage {name}", f"the engine's member {name} has damaged data", more)


def of_digests(differ: Collection[str]) -> Iterator[Trouble]:
    """The nodes that have other intents than most nodes."""
    for name in list(differ)[:_NAMED]:
        what = f"the node {name} has other rules of the fleet than the others"
        yield Trouble(f"drift {name}", what, ": it compares what it has with the engine")


def of_nodes(nodes: Iterable[Seen], me: str, now: float) -> Iterator[Trouble]:
    """The other nodes that do not report, as of `now`."""
    silent = [node for node in nodes if node.name != me and not node.live(now)]
    silent.sort(key=lambda node: node.name)
    for node in silent:
        verb = "does not report" if node.heard else "has never reported"
        more = f" for {show_duration(node.silent(now))}" if node.heard else ""
        yield Trouble(f"node {node.name}", f"the node {node.name} {verb}", more)


def of_relays(relays: Iterable[SeenRelay]) -> Iterator[Trouble]:
    """The relays that do not answer."""
    for relay in relays:
        if relay.joined and not relay.answers:
            what = f"the relay {relay.name} does not answer"
            more = f" at {relay.endpoint}: its nodes use their other relays, or go on as they are"
            yield Trouble(f"relay {relay.name}", what, more)


def shown(found: Sequence[Trouble]) -> list[Trouble]:
    """All of them, but of many silent nodes only the first ones."""
    nodes = [trouble for trouble in found if trouble.key.startswith("node ")]
    hidden = set(nodes[_NAMED:])
    more = [Trouble("nodes", "more nodes do not report", f": {len(hidden):,}")] if hidden else []
    return [*(trouble for trouble in found if trouble not in hidden), *more]


def _silent(member: EngineMember, now: float) -> tuple[str, str]:
    """What is wrong with a member that is of no use now, and for how long."""
    at = f" at {member.endpoint}" if member.endpoint else ""
    if state_of(member, now) is MemberState.LOST:
        return f"knows no leader{at}", ""
    if not member.heard:
        return f"has not answered{at}", " since this node started"
    return f"does not answer{at}", f" for {show_duration(member.silent(now))}"


def _left(quorum: Quorum) -> str:
    if quorum.may_fail < 0:
        return "there is no quorum, and changes stay on the node where they are made"
    return f"{_number(quorum.may_fail)} of the others may fail"


def _number(number: int) -> str:
    return {0: "none", 1: "one", 2: "two"}.get(number, str(number))
