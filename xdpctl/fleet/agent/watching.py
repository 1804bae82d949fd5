# SPDX-License-Identifier: GPL-2.0-or-later
"""Watches the fleet: what keeps it from its work is shown, recorded, and told to people."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator

from xdpctl.base.durations import show_duration
from xdpctl.errors import EngineError
from xdpctl.fleet import troubles
from xdpctl.fleet.agent.digests import Comparison
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.agent.reporter import Reporter
from xdpctl.fleet.agent.rounds import Duty
from xdpctl.fleet.engine.members import Members
from xdpctl.fleet.troubles import Trouble
from xdpctl.notify.changes import News, Severity
from xdpctl.notify.settings import Kind

_SECONDS, _ASKED_PER_SECOND = 1.0, 50  # nodes that ask the members; with many, each asks less often
_TELL_SECONDS = 10.0  # for which a trouble lasts before it is told: a restart is none
log = logging.getLogger("xdpctl.fleet")


class Watching:
    """Asks the engine's members from `run` until the member is stopping.

    `looked` is when the nodes' reports were last read (monotonic). `problems` finds what else is
    wrong with this node. Every node sees what is shared, so the one with the `duty` tells it.
    """

    def __init__(
        self,
        member: Member,
        members: Members,
        reporter: Reporter,
        looked: Callable[[], float],
        duty: Duty,
        problems: Callable[[], Iterable[Trouble]],
        comparison: Comparison,
        tell: Callable[[News], None],
    ) -> None:
        self._member, self.members, self._reporter = member, members, reporter
        self._looked, self._duty, self._problems, self._tell = looked, duty, problems, tell
        self._comparison = comparison
        self._since: dict[str, float] = {}  # when each trouble was first seen (monotonic)
        self._known: dict[str, Trouble] = {}  # those that were recorded
        self._told = set[str]()  # those that this node has told

    def run(self) -> None:
        while not self._member.stopping.is_set():
            try:
                self.members.look()
                nodes = list(self._reporter.nodes.by_name.values())
                self._comparison.step(nodes, self._looked())
                self._step(time.monotonic())
                self._reporter.look_at_relays()
            except EngineError as error:
                self._member.hear(error)
            except Exception:
                log.exception("internal error while watching the fleet; it is tried again")
            number = len(self._reporter.nodes.by_name)
            self._member.stopping.wait(max(_SECONDS, number / _ASKED_PER_SECOND))
        self.members.close()

    def quorum(self) -> troubles.Quorum:
        """How many members vote, and how many of these answer."""
        return troubles.quorum(self.members.all, self.members.looked)

    def troubles(self) -> list[Trouble]:
        """All that is known now; a node that is cut off knows only that."""
        return troubles.shown(self._all())

    def _all(self) -> list[Trouble]:
        found, members = list(self._of_this_node()), self.members
        if self._member.contact.isolated:
            return found
        nodes = list(self._reporter.nodes.by_name.values())
        found += troubles.of_engine(members.all, members.looked)
        if self._member.settings.revoked_list:
            found += troubles.of_own_member(members.all, self._member.name)
        found += troubles.of_damage(dict(self._member.damaged), members.all)
        found += troubles.of_digests(self._comparison.differ)
        found += troubles.of_relays(self._reporter.relays)
        return [*found, *troubles.of_nodes(nodes, self._member.name, self._looked())]

    def _of_this_node(self) -> Iterator[Trouble]:
        member, contact = self._member, self._member.contact
        if contact.isolated:
            unsent = len(member.controller.state.unsent)
            waits = f"; {unsent:,} changes of this node wait to be sent" if unsent else ""
            lasts = f" for {show_duration(contact.silent)}, and goes on with what it has"
            why = str(self.quorum()) if self.members.all else contact.problem or "no answer yet"
            more = f"{lasts}{waits}: {why}"
            yield Trouble("isolated", "this node is cut off from its fleet", more, shared=False)
        refused = dict(member.refused)
        if refused:
            key, why = next(iter(refused.items()))
            more = f": {len(refused):,}, such as {key}: {why}"
            what = "intents of the fleet are not applied here"
            yield Trouble("refused", what, more, shared=False)
        if self._reporter.doubled:
            what = f"another node has the same name {member.name}"
            more = ": give each its own name, with a token of its own"
            yield Trouble("double", what, more, shared=False)
        for key, yielded in list(member.controller.state.yielded.items()):
            what = f"{yielded.what}, asked for here by {yielded.by}, gave way to {yielded.stands}"
            more = f". Ask for it again: xdpctl fleet again {key}; or leave it: --leave"
            yield Trouble(f"conflict {key}", what, more, shared=False)
        yield from self._problems()

    def _step(self, now: float) -> None:
        """Record what lasts and what is over, and tell people."""
        found = {trouble.key: trouble for trouble in self._all()}
        if self._member.contact.isolated:  # what others do is not known, so it is not over
            found |= {key: known for key, known in self._known.items() if known.shared}
        self._since = {key: self._since.get(key, now) for key in found}
        for key in self._known.keys() - found.keys():
            self._over(self._known.pop(key))
        for key, trouble in found.items():
            if now - self._since[key] >= _TELL_SECONDS:
                self._lasts(trouble)
        while self._comparison.repairs:
            why = self._comparison.repairs.popleft()
            title = "intents of the fleet are taken anew"
            key, text = f"fleet repair {now}", f"{why}.\nxdpctl audit"
            self._tell(News(Kind.TROUBLE, key, title, text, level=Severity.WARNING))

    def _lasts(self, trouble: Trouble) -> None:
        """Record a trouble, and tell people, once; the others' duty may become this node's."""
        if trouble.key not in self._known:
            self._known[trouble.key] = trouble
            self._note("fleet.trouble", trouble)
        if trouble.key not in self._told and (self._duty.mine or not trouble.shared):
            self._told.add(trouble.key)
            text = f"{trouble}\nxdpctl fleet status"
            key = f"fleet {trouble.key}"
            self._tell(News(Kind.TROUBLE, key, trouble.what, text, lasts=True))

    def _over(self, trouble: Trouble) -> None:
        """Record that it is over; whoever has told it says so."""
        self._note("fleet.recovered", trouble)
        if trouble.key in self._told:
            self._told.remove(trouble.key)
            title = f"recovered: {trouble.what}"
            self._tell(News(Kind.TROUBLE, f"fleet {trouble.key}", title, "It is over.", over=True))

    def _note(self, action: str, trouble: Trouble) -> None:
        self._member.do(lambda draft: draft.note("fleet", action, trouble.key, what=trouble.what))
