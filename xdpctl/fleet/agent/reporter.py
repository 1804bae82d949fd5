# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports on this node when there is news, and reads other nodes' reports."""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from itertools import islice

from xdpctl import __version__
from xdpctl.base.net.prefix import Prefix
from xdpctl.errors import EngineError
from xdpctl.fleet import keys
from xdpctl.fleet.agent.member import Member
from xdpctl.fleet.engine.values import Held, Swap
from xdpctl.fleet.node import Card, Digest, Nodes, Report, encode, of_note, shown
from xdpctl.fleet.relays import SeenRelay, relays
from xdpctl.fleet.settings import address_of
from xdpctl.model import tags
from xdpctl.model.effect import Automatic

_SECONDS, _GAP = 1.0, 0.02
_LEASE_SECONDS, _REPORT_SECONDS = 3.0, 10.0
_SETTLE = 0.01  # seconds after a change, so that reports do not slow down its spreading
_FOREIGN = 2  # looks that prove a double: one may be from before this node's restart
_RELAYS_SECONDS = 3.0
_LOOK_SECONDS, _LOOKED_PER_SECOND = 1.0, 50  # nodes; with many, the reports are read less often
log = logging.getLogger("xdpctl.fleet")
HowItIs = Callable[[], tuple[list[str], str]]  # this node's problems, and its condition's word


class Reporter:
    """Reports from `run` until the member is stopping.

    `nodes` and `relays` are what it sees of the fleet.
    """

    def __init__(
        self,
        member: Member,
        health: HowItIs,
        card: Card,
        expires: float,
        endpoints: Callable[[], Iterable[str]] = tuple,
        digest: Callable[[], Digest] = Digest,
        rollouts: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._endpoints, self._digest, self._rollouts = endpoints, digest, rollouts
        self._member, self._health, self._card = member, health, card
        self.expires = expires
        self.nodes, self.relays = Nodes(), list[SeenRelay]()
        self._relays_at = 0.0
        self.armed: dict[str, int] = {}
        self.instance, self._foreign, self._lease = secrets.token_hex(8), 0, 0
        self._news, self._reported_at = Report(0.0), 0.0
        self._looking = threading.Lock()
        self._turn = -1

    def run(self) -> None:
        member, alive_at, look_at = self._member, 0.0, 0.0
        while not member.stopping.is_set():
            member.moved.clear()
            began = time.monotonic()
            try:
                if began >= alive_at:
                    self._stay_alive()
                    alive_at = began + _SECONDS
                self._report(began)
                member.contact.patience = member.engine.patience
                member.contact.made()
                if began >= look_at:
                    self.look()
                    look_at = began + max(
                        _LOOK_SECONDS, len(self.nodes.by_name) / _LOOKED_PER_SECOND
                    )
            except EngineError as error:
                member.hear(error)
            except Exception:
                log.exception("internal error while reporting to the fleet; it is tried again")
            if member.stopping.wait(_GAP):
                return
            if member.moved.wait(max(0.0, began + _SECONDS - time.monotonic())):
                member.stopping.wait(_SETTLE)

    def _stay_alive(self) -> None:
        """Keep this node's lease, which writes nothing to a disk, and see who else has its name."""
        engine, me = self._member.engine, self.instance.encode()
        *_, key = keys.said_by(self._member.name)
        engine.connect()
        if not self._lease or not engine.keep_alive(self._lease):
            self._lease = engine.grant(_LEASE_SECONDS + 4 * engine.patience)
            engine.put(key, me, self._lease)
            return
        kv = engine.get(key)
        others = kv is not None and kv.value != me
        self._foreign = self._foreign + 1 if others else max(0, self._foreign - 1)
        if kv is None or others:
            engine.put(key, me, self._lease)

    def look(self) -> int:
        """Read the cards and reports of all nodes; the engine's revision. EngineError."""
        with self._looking:
            snapshot = self._member.engine.snapshot(keys.NODES)
            self.nodes.take(snapshot.held, time.monotonic())
            self._member.controller.state.members = self._addresses()
            return snapshot.revision

    def look_at_relays(self) -> None:
        """Read what relays say; EngineError. Another thread does it: this one has a lease."""
        now = time.monotonic()
        if now >= self._relays_at:
            self.relays = relays(self._member.engine.snapshot(keys.RELAYS).held)
            self._relays_at = now + _RELAYS_SECONDS

    def take(self, changes: Iterable[Held]) -> None:
        """Take over reports that a watch has brought."""
        with self._looking:
            self.nodes.update(changes, time.monotonic())

    def _addresses(self) -> frozenset[Prefix]:
        """The addresses of nodes, from their cards, of members and of relays: protected."""
        addresses = [node.card.address for node in self.nodes.by_name.values()]
        addresses += [relay.endpoint for relay in self.relays]
        return frozenset(filter(None, map(address_of, (*addresses, *self._endpoints()))))

    @property
    def doubled(self) -> bool:
        """Whether another node reports under the name of this one."""
        return self._foreign >= _FOREIGN

    def _report(self, now: float) -> None:
        """Write the report if it has news, or every ten seconds (`now` is monotonic)."""
        member, engine = self._member, self._member.engine
        card, key, _ = keys.said_by(member.name)
        report, turn = self.report(), engine.turn
        news, again = of_note(report), now - self._reported_at >= _REPORT_SECONDS
        if (news, turn) == (self._news, self._turn) and not again:
            return
        swaps = [Swap(key, encode(report), None)]
        if self._turn != turn:
            swaps.append(Swap(card, encode(self._card), None))
        engine.swap(swaps)
        self._turn, self._news, self._reported_at = turn, news, now

    def report(self) -> Report:
        """This node's report as of now."""
        member, state = self._member, self._member.controller.state
        problems, held = self._health()
        refused = dict(member.refused)
        return Report(
            at=member.controller.clock.read().unix,
            version=__version__,
            applied=member.applied,
            ahead=member.ahead,
            unsent=len(state.unsent),
            rules=len(state.rules),
            sets=len(state.sets),
            matches=len(state.matches),
            refusals=len(refused),
            refused=shown(refused),
            problems=tuple(problem[:300] for problem in problems[:10]),
            bypass=member.controller.datapath.bypass(),
            passive=state.automatic in (Automatic.OFF, Automatic.OBSERVE),
            held=held,
            incidents=sum(incident.open for incident in list(state.incidents.values())),
            expires=self.expires,
            armed=self.armed,
            digest=self._digest(),
            rollouts=tuple(text[:300] for text in islice(self._rollouts(), 10)),
        )

    def count_armed(self) -> None:
        """Count what the rules of other nodes' detectors have hit here, by node."""
        controller = self._member.controller
        rules = [s for s in list(controller.state.matches.values()) if tags.armed(s.tags)]
        counted: dict[str, int] = {}
        for rule, hits in zip(rules, controller.hits_of(rules), strict=True):
            for tag in tags.armed(rule.tags):
                node = tag.removeprefix(tags.ARMED)
                counted[node] = counted.get(node, 0) + hits.packets
        self.armed = counted
