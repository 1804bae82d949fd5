# SPDX-License-Identifier: GPL-2.0-or-later
"""Rehearsals: in peacetime a peer is asked to drop everything to a spare address.

They show whether the peer accepts such a route and enforces it, before that is needed. They only
change the state; the announcer judges them.
"""

from collections.abc import Mapping

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.draft import Draft
from xdpctl.errors import ConflictError, NotFoundError, RuleError
from xdpctl.model.announcement import Announcement
from xdpctl.model.effect import Automatic
from xdpctl.model.match.components import TCP, TCP_FLAGS, UDP
from xdpctl.model.match.match import matching
from xdpctl.model.rehearsal import Rehearsal
from xdpctl.model.route import Kind
from xdpctl.upstream import announcements
from xdpctl.upstream.effects import Effect
from xdpctl.upstream.filling import Filling
from xdpctl.upstream.peers import Peer
from xdpctl.upstream.request import Request, written
from xdpctl.upstream.settings import UpstreamSettings

SECONDS = 120.0  # for which a route is announced, so that somebody can look for it
ACCEPTED_SECONDS = 15.0  # after which the speaker must have confirmed the route
YEAR = 365 * 86_400.0  # after which somebody should rehearse again


def request(peer: Peer, address: Prefix, kind: Kind, found: Filling | None) -> Request:
    """The request to drop everything to a spare address. RuleError if it is not spare, or wrong.

    `found` is what arrives now; None if nothing is observed.
    """
    if not address.exact:
        raise RuleError(f"{address} is not a single address", "address", "give a spare one")
    if kind is Kind.DIVERSION:
        why = "a diversion concerns a whole network"
        raise RuleError(why, "kind", "agree on a time with the centre, and announce it by hand")
    if found is None:
        why = f"nothing is observed, so nobody knows whether {address} is spare"
        raise RuleError(why, "address", "see xdpctl doctor")
    if _used(found, address):
        raise RuleError(f"{address} is used", "address", "give a spare one")
    return written(peer, matching((("destination", address),)), kind, 0, found)


def _used(found: Filling, address: Prefix) -> bool:
    """Whether known flows go to an address, or something that looks like people.

    Anybody may ping it, or try to open connections to it.
    """
    inside = found.towards(address)
    if len(inside.people.packets):
        return True
    packets = inside.others.packets
    tcp = (packets["protocol"] == TCP) & (packets["tcp_flags"] & TCP_FLAGS["ack"] != 0)
    return not inside.judged and bool((tcp | (packets["protocol"] == UDP)).any())


def begin(
    draft: Draft, peer: Peer, asked: Request, by: str, settings: UpstreamSettings
) -> Announcement:
    """Announce it for a while. Raises what `announcements.announce` does; ConflictError if another
    one goes on; RuleError if the address itself is protected.
    """
    if any(entry.rehearsal and entry.announced for entry in draft.announcements.values()):
        raise ConflictError("another rehearsal goes on", "peer", "wait two minutes for its end")
    if asked.victim in draft.state.protection.why:
        why = draft.state.protection.why[asked.victim]
        raise RuleError(f"{asked.victim} is protected: {why}", "address", "give a spare one")
    stopped, typed = announcements.policy_stopped(draft), str(asked.victim)
    made = announcements.announce(draft, peer, asked, "", by, typed, SECONDS, settings)
    if stopped:
        draft.settings[announcements.POLICY_SETTING] = Automatic.OFF
    rehearsed = draft.announcements[made.id] = made.replace(rehearsal=True)
    return rehearsed


def finish(draft: Draft, entry: Announcement, refused: str, effect: Effect | None) -> None:
    """Keep what came of it: why the peer has `refused` it, or whether it took effect."""
    told = effect.told[-1] if effect and effect.told else None
    why = refused or ("" if told else effect.last.why if effect else "nothing was measured")
    result = Rehearsal(
        at=draft.now.unix,
        by=entry.approved_by,
        kind=entry.kind,
        what=entry.what,
        accepted=not refused,
        enforced=told.helped if told else None,
        why=why,
    )
    draft.rehearsals[identity(entry.peer, entry.kind)] = result
    record = {"what": entry.what, "result": str(result)}
    draft.note(announcements.ITSELF, "upstream.rehearse", entry.peer, **record)


def see(draft: Draft, peer: Peer, kind: Kind, seen: bool, by: str) -> Rehearsal:
    """Keep whether a person found the route at the provider. NotFoundError without a rehearsal."""
    number = identity(peer.name, kind)
    result = draft.rehearsals.get(number)
    if result is None:
        raise NotFoundError(f"{peer.name} was not rehearsed by {kind}: xdpctl upstream rehearse")
    changed = draft.rehearsals[number] = result.replace(seen=seen)
    draft.note(by, "upstream.rehearse", peer.name, what=result.what, result=str(changed))
    return changed


def identity(peer: str, kind: Kind) -> str:
    """The identity of the last rehearsal of a peer with routes of a kind."""
    return f"{peer} {kind}"


def of_peer(every: Mapping[str, Rehearsal], peer: Peer) -> list[Rehearsal]:
    """The last rehearsal of a peer with each kind of routes."""
    found = (every.get(identity(peer.name, kind)) for kind in Kind)
    return [rehearsal for rehearsal in found if rehearsal]
