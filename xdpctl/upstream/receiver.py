# SPDX-License-Identifier: GPL-2.0-or-later
"""Turns the FlowSpec routes of peers into rules, which last as long as the routes.

A route is taken over if its destination is in our own prefixes (RFC 8955 section 6, revised by
RFC 9117). Its rule has an end, and is renewed for as long as the session is up. The routes of all
peers are one table: the first that matches a packet decides (section 5.1). All other rules come
before them, so an exception that a peer sends lets nothing pass that somebody else drops.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from xdpctl.base.periodic import PeriodicTask
from xdpctl.control.controller import Controller
from xdpctl.control.guards import lockout
from xdpctl.control.operations import rules
from xdpctl.control.state.draft import Draft
from xdpctl.detectors.formats import exabgp
from xdpctl.errors import RuleError, XdpctlError
from xdpctl.model import tags
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.event import Event, Phase
from xdpctl.model.identity import Caller, Role
from xdpctl.model.rate import PPS_MAX
from xdpctl.model.requests import RuleRequest
from xdpctl.model.rule import OF_PEERS, Rule
from xdpctl.upstream.peer_routes import Received
from xdpctl.upstream.peers import Peer, Receive
from xdpctl.upstream.settings import UpstreamSettings

TTL = 600.0  # seconds; rules are renewed when less than half of it is left
_STEP_SECONDS = 1.5
_TROUBLE = "routes of peers are not taken over"
_PATIENCE_SECONDS = 30.0  # for the speaker, before the rules of its peers end
_RETRY_SECONDS = 30.0  # until what was refused is tried again
log = logging.getLogger("xdpctl.upstream")


@dataclass(slots=True)
class Receiver:
    """Keeps the rules of peers from `start` to `stop`.

    `refusal` returns why a route of a peer is not taken over, "" if it is. `frozen` returns whether
    no rules are added for a peer.
    """

    controller: Controller
    peers: tuple[Peer, ...]
    refusal: Callable[[Peer, Event], str]
    frozen: Callable[[Peer], bool]
    of: dict[str, Received] = field(init=False)  # by the name of the peer
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _beat: PeriodicTask = field(init=False)
    _patient_until: float = field(default_factory=lambda: time.monotonic() + _PATIENCE_SECONDS)

    def __post_init__(self) -> None:
        self.of = {peer.name: Received() for peer in self.peers}
        self._beat = PeriodicTask("receiver", _STEP_SECONDS, self.step, _TROUBLE)

    def start(self) -> None:
        self._beat.start()

    def stop(self) -> None:
        """Stop; the rules stay until they expire."""
        self._beat.stop()

    @property
    def problem(self) -> str:
        """Why the last turn failed; "" if it did not."""
        return self._beat.problem

    def wake(self) -> None:
        """Make a step now: a peer was frozen, or is not frozen any more."""
        with self._lock:
            for received in self.of.values():
                received.retry_at = 0.0
        self._beat.wake()

    def hear(self, host: str, message: bytes) -> None:
        """Take a message of the speaker about routes of a peer into account."""
        peer = next((peer for peer in self.peers if peer.host == host), None)
        if peer is None or peer.receive is Receive.OFF:
            return
        with self._lock:
            received = self.of[peer.name]
            try:
                for event in exabgp.read_table(message):
                    self._note(peer, received, event)
            except (RuleError, ValueError, OverflowError) as error:
                log.warning("a message about %s cannot be read: %s", peer.name, error)
        self._beat.wake()

    def _note(self, peer: Peer, received: Received, event: Event) -> None:
        why = event.ignored or ("" if event.phase is Phase.ENDED else self.refusal(peer, event))
        if event.phase is Phase.ENDED:
            received.routes.pop(event.id, None)
            received.refused.pop(event.id, None)
        elif why:
            received.routes.pop(event.id, None)
            if len(received.refused) < peer.receive_most:
                received.refused[event.id] = f"{event.match or event.id}: {why}"
        elif event.id in received.routes or len(received.routes) < peer.receive_most:
            received.refused.pop(event.id, None)
            received.routes[event.id] = event

    def anew(self) -> None:
        """All current routes follow; any other route is gone."""
        with self._lock:
            for name, earlier in self.of.items():
                self.of[name] = Received(changes=earlier.changes)

    def whole(self) -> None:
        """All routes have followed."""
        with self._lock:
            for received in self.of.values():
                received.known = True
        self._beat.wake()

    def gone(self, host: str) -> None:
        """The session with a peer has ended, and so have its routes."""
        with self._lock:
            for peer in self.peers:
                if peer.host == host:
                    known = self.of[peer.name].known
                    changes = self.of[peer.name].changes
                    self.of[peer.name] = Received(known=known, changes=changes)
        self._beat.wake()

    def lost(self) -> None:
        """The speaker does not answer; its peers' rules stay for a while."""
        with self._lock:
            if any(received.known for received in self.of.values()):
                self._patient_until = time.monotonic() + _PATIENCE_SECONDS
            for received in self.of.values():
                received.known = False

    def step(self, now: float) -> None:
        """Make the rules of each peer match the routes that it has sent."""
        for peer in self.peers:
            with self._lock:
                received = self.of[peer.name]
                if not received.changes.may(now):
                    continue
                known, routes = received.known, dict(received.routes)
            if not known and now < self._patient_until:
                continue
            self._bring(peer, received, routes if known else {}, now)

    def _bring(self, peer: Peer, received: Received, routes: dict[str, Event], at: float) -> None:
        if peer.receive is Receive.OFF:
            routes = {}
        events = {event.match.id: event for event in routes.values() if event.match is not None}
        state = self.controller.state
        standing = [rule for rule in state.all_rules() if rule.origin == peer.origin]
        now = self.controller.clock.read()
        soon = now.after(TTL / 2)
        late = any(s.expires_ns < soon for s in standing)
        same = {s.id for s in standing} == events.keys() - received.unapplied.keys()
        changed = any(s.id in events and not _same(s, events[s.id], peer) for s in standing)
        retry = bool(received.unapplied) and at >= received.retry_at
        if same and not (late or changed or retry):
            return

        def operation(draft: Draft) -> dict[str, str]:
            return self._rules(draft, peer, events)

        received.retry_at = at + _RETRY_SECONDS
        received.changes.count()
        received.unapplied = self.controller.submit(operation, scope=None).result(30)

    def _rules(self, draft: Draft, peer: Peer, events: dict[str, Event]) -> dict[str, str]:
        """Stage the rules of a peer; return why some are refused."""
        who, frozen, unapplied = self._caller(peer), self.frozen(peer), dict[str, str]()
        soon, ended, added = draft.now.after(TTL / 2), 0, 0
        for rule in draft.all_rules():
            if rule.origin == peer.origin and rule.id not in events:
                draft.remove(rule)
                ended += 1
        for identity, event in events.items():
            standing = draft.at(event.match) if event.match else None
            ours = standing is not None and standing.origin == peer.origin
            same = standing is not None and ours and _same(standing, event, peer)
            if same and standing and standing.expires_ns >= soon:
                continue
            try:
                if same and standing:
                    later = standing.replace(expires_ns=draft.now.after(TTL))
                    lockout.take(draft, who, Draft.put, later)
                    continue
                if frozen:
                    raise RuleError("the peer is frozen", "", "")
                if standing and not ours:
                    raise RuleError(f"{standing.origin} has a rule with this match", "match", "")
                lockout.take(draft, who, _replace, standing, _request(peer, event), who)
                added += 1
            except XdpctlError as error:
                unapplied[identity] = f"{event.match}: {error}"
        if ended or added:
            detail = {"added": added, "ended": ended, "refused": len(unapplied)}
            first = list(unapplied.values())[:3]
            draft.note(who.name, "upstream.received", peer.name, **detail, why=first)
        return unapplied

    @staticmethod
    def _caller(peer: Peer) -> Caller:
        return Caller(f"AS {peer.peer_as} ({peer.name})", Role.DETECTOR, peer.origin)


def _replace(draft: Draft, before: Rule | None, request: RuleRequest, who: Caller) -> None:
    if before:
        draft.remove(before)
    rules.add(draft, request, who)


def _request(peer: Peer, event: Event) -> RuleRequest:
    """The rule of a route. What reduces traffic is on trial, as all automatic rules are."""
    assert event.match is not None  # noqa: S101  # the caller has checked
    excepts = event.limit is not None and event.limit.pps == PPS_MAX
    return RuleRequest(
        match=event.match,
        action=Action.LIMIT if event.limit else Action.DROP,
        limit=event.limit,
        spare=Spare.NONE if excepts else Spare.TRIAL,
        mode=_mode(peer),
        priority=OF_PEERS,
        rank=event.rank,
        ttl=TTL,
        reason=f"FlowSpec route of AS {peer.peer_as} ({peer.name})",
    )


def _mode(peer: Peer) -> Mode:
    return Mode.ENFORCE if peer.receive is Receive.ENFORCE else Mode.MONITOR


def _same(rule: Rule, event: Event, peer: Peer) -> bool:
    """Whether a rule does what its route asks, or was softened because that hit people."""
    softened = tags.SOFTENED in rule.tags
    placed = (rule.priority, rule.rank) == (OF_PEERS, event.rank)
    return placed and (softened or rule.limit == event.limit) and rule.mode is _mode(peer)


def refusal(settings: UpstreamSettings, peer: Peer, event: Event) -> str:
    """Why a route of a peer is not taken over (RFC 8955 section 6); "" if it is."""
    destination = event.match.get("destination") if event.match else None
    if peer.receive_any or (destination is not None and settings.ours(destination)):
        return ""
    return f"{destination or 'any destination'} is not in upstream.own"
