# SPDX-License-Identifier: GPL-2.0-or-later
"""The BGP side of a control plane: the speaker, what is announced, and what is received."""

import logging
from collections.abc import Callable, Iterator
from functools import partial

from xdpctl.config.settings import Settings
from xdpctl.control.controller import Controller
from xdpctl.control.state.draft import Draft
from xdpctl.model.announcement import Announcement
from xdpctl.model.effect import Automatic
from xdpctl.notify.changes import News
from xdpctl.notify.settings import Kind
from xdpctl.upstream import announcements, diversion
from xdpctl.upstream.announcements import ITSELF, POLICY_SETTING
from xdpctl.upstream.announcer import Announcer
from xdpctl.upstream.bgp.messages import (
    Anew,
    FromBridge,
    Gone,
    Received,
    Report,
    Whole,
)
from xdpctl.upstream.bgp.speaker import Bridged
from xdpctl.upstream.peers import Peer, PeerMode, Receive
from xdpctl.upstream.proposer import Proposer, session_of
from xdpctl.upstream.receiver import Receiver, refusal
from xdpctl.upstream.rehearsals import YEAR, of_peer
from xdpctl.upstream.settings import UpstreamSettings
from xdpctl.watch.uplinks import UplinkWatch

log = logging.getLogger("xdpctl.upstream")


class Peering:
    """Runs from `start` to `stop`; `tell` notifies people."""

    def __init__(
        self,
        controller: Controller,
        settings: Settings,
        uplinks: UplinkWatch,
        tell: Callable[[News], None],
    ) -> None:
        self._controller, self._tell = controller, tell
        self.settings: UpstreamSettings = settings.upstream
        self._filtered = settings.interface_names
        self.speaker = Bridged(settings.speaker_socket, self._hear)
        filled = uplinks.filled
        proposer = Proposer(controller, self.settings, self.speaker, filled.more, filled.idle, tell)
        self.announcer = Announcer(
            controller, self.settings, self.speaker, proposer, uplinks.links, filled.rates, tell
        )
        uplinks.became_full = self.announcer.look
        self.receiver = Receiver(
            controller, self.settings.peers, partial(refusal, self.settings), self.frozen
        )
        self._lost = True
        self._up: dict[str, bool] = {}

    def start(self) -> None:
        """Listen to the speaker, and keep what is announced."""
        self.speaker.start()
        self.announcer.start()
        self.receiver.start()

    def stop(self) -> None:
        """Stop; announcements stay until their time is over."""
        self.announcer.stop()
        self.receiver.stop()
        self.speaker.stop()

    def frozen(self, peer: Peer) -> bool:
        """Whether no rules are added for a peer: it was frozen, or all detectors were."""
        settings = self._controller.state.settings
        return Automatic.OFF in (self._controller.state.automatic, settings.get(peer.origin))

    @property
    def policy_stopped(self) -> bool:
        """Whether everything was withdrawn, so that nothing is sent by policy."""
        return self._controller.state.settings.get(POLICY_SETTING) is Automatic.OFF

    def warnings(self) -> list[str]:
        """What is wrong between this host and its peers, a sentence each."""
        report = self.speaker.report
        if report is None:
            return [f"the BGP speaker does not answer: {self.speaker.problem}"]
        warnings = [report.problem] if report.problem else []
        warnings += [
            problem
            for problem in (self.announcer.problem, self.announcer.proposer.problem)
            if problem
        ]
        for peer in self.settings.peers:
            warnings += self._about(peer, report)
        if self.policy_stopped and any(p.mode is PeerMode.AUTO for p in self.settings.peers):
            warnings.append(
                "nothing is sent to peers by policy since everything was withdrawn; approving "
                "something ends that"
            )
        warnings += [self.receiver.problem] if self.receiver.problem else []
        return warnings

    def _about(self, peer: Peer, report: Report) -> Iterator[str]:
        """What is wrong between this host and one peer."""
        session = session_of(report, peer)
        if session is None or not session.up:
            why = session.why if session else "the speaker was started without it"
            yield f"there is no BGP session with {peer.name} ({peer.host}): {why}"
        elif lacking := [k for k in _wanted(peer) if k not in session.families]:
            yield (
                f"{peer.name} does not take {' and '.join(lacking)} in this session: have it "
                "enabled there, or change its settings"
            )
        if peer.announces and (no_way := diversion.no_way_back(peer)):
            yield f"{no_way}, so nothing can be diverted"
        if peer.announces and peer.returns and peer.returns not in self._filtered:
            yield f"what comes back by {peer.returns} is not filtered: add it to interfaces"
        rehearsed = [r.at for r in of_peer(self._controller.state.rehearsals, peer)]
        if rehearsed and self._controller.clock.read().unix > max(rehearsed) + YEAR:
            yield (
                f"{peer.name} was rehearsed more than a year ago: rehearse again, with "
                f"xdpctl upstream rehearse {peer.name} --address SPARE"
            )
        if session and session.beyond:
            yield (
                f"{peer.name} sent {session.beyond:,} FlowSpec routes more than are kept "
                f"(receive_most = {peer.receive_most:,})"
            )
        unapplied = self.receiver.of[peer.name].unapplied
        if unapplied:
            why = next(iter(unapplied.values()))
            yield f"{len(unapplied):,} routes of {peer.name} are not applied: {why}"

    def _hear(self, message: FromBridge | None) -> None:
        """A message of the bridge, in the speaker's thread."""
        if isinstance(message, Report):
            if self._lost:
                self._lost = False
                self.announcer.wake()
            for peer in self.settings.peers:
                self._session(peer, message)
        elif isinstance(message, Received):
            self.receiver.hear(message.peer, bytes(message.message))
        elif isinstance(message, Gone):
            self.receiver.gone(message.peer)
        elif isinstance(message, Anew):
            self.receiver.anew()
        elif isinstance(message, Whole):
            self.receiver.whole()
        elif message is None:
            self._lost = True
            self.receiver.lost()

    def _session(self, peer: Peer, report: Report) -> None:
        """Write a change of a session into the audit log."""
        session = session_of(report, peer)
        up, was = session is not None and session.up, self._up.get(peer.name, False)
        self._up[peer.name] = up
        if up == was:
            return
        why = session.why if session else ""
        log.log(logging.INFO if up else logging.ERROR, "%s: %s", peer.name, "up" if up else why)
        if not up:
            title = f"the BGP session with {peer.name} ended"
            text = f"{why or 'no reason was given'}. What the peer was asked ends with the session"
            self._tell(News(Kind.TROUBLE, f"bgp {peer.name}", title, text, lasts=True))
        else:
            title, text = f"the BGP session with {peer.name} is up", "The peer can be asked."
            self._tell(News(Kind.TROUBLE, f"bgp {peer.name}", title, text, over=True))

        def operation(draft: Draft) -> None:
            action = "upstream.session.up" if up else "upstream.session.down"
            draft.note("xdpctl", action, peer.name, address=peer.host, why=why)
            for entry in list(draft.announcements.values()):
                if entry.announced and not entry.probing and entry.peer == peer.name:
                    announcements.note(draft, entry, _gone(peer, entry, up, why), ITSELF)

        self._controller.submit(operation)


def _wanted(peer: Peer) -> list[str]:
    """The families that a session needs for what the peer is asked, in ExaBGP's words."""
    family = f"ipv{peer.address.family}"
    flows = peer.flowspec and (peer.announces or peer.receive is not Receive.OFF)
    unicast = peer.blackhole or peer.returns or peer.originate
    return [
        *([f"{family} flow"] if flows else []),
        *([f"{family} unicast"] if peer.announces and unicast else []),
    ]


def _gone(peer: Peer, entry: Announcement, up: bool, why: str) -> str:
    """What a change of a session means for something that is announced."""
    if up:
        return f"the session with {peer.name} is up, so it is asked to {entry.what}"
    return f"the session with {peer.name} ended ({why}), so it does not {entry.what} any more"
