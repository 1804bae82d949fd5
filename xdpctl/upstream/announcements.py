# SPDX-License-Identifier: GPL-2.0-or-later
"""Announcements to BGP peers: proposed, approved and withdrawn, by operations on a draft.

They only change the state; the announcer makes the speaker announce what is in it.
"""

import hashlib
from collections.abc import Iterable

from xdpctl.base.clock import Now
from xdpctl.control.state.draft import Draft
from xdpctl.errors import ConflictError, NotFoundError, QuotaError, RuleError, UnconfirmedError
from xdpctl.incidents.ledger.by_hand import remark
from xdpctl.model.announcement import PROPOSED_MAX, Announcement
from xdpctl.model.effect import Automatic
from xdpctl.model.match import ranges
from xdpctl.model.match.components import TCP
from xdpctl.model.protection import Protection
from xdpctl.model.route import LASTS, Flow, Kind, Route
from xdpctl.upstream import diversion
from xdpctl.upstream.bgp import syntax
from xdpctl.upstream.peers import Peer
from xdpctl.upstream.request import Request
from xdpctl.upstream.settings import UpstreamSettings

ITSELF, POLICY = "xdpctl", "policy"  # named in records if no person acts
POLICY_SETTING = "upstream"  # the setting's identity; Automatic.OFF: policy approves nothing
_DECLINED_SECONDS = 3600.0
_SEE = "xdpctl upstream status"


def identity(peer: str, request: Request) -> str:
    """The id of an announcement: a hash of what identifies a route in BGP, peer and match."""
    text = f"{peer} {request.kind} {request.victim} {request.route.takes.id}"
    return "up-" + hashlib.sha256(text.encode()).hexdigest()[:10]


def propose(
    draft: Draft,
    peer: Peer,
    requests: Iterable[Request],
    incident: str,
    by: str | None,
    settings: UpstreamSettings,
    ttl: float = 0.0,
) -> list[Announcement]:
    """Propose requests that a peer takes, except those that may not be announced.

    `by` is the person who asks for it, or None. Existing announcements stay as they are. Declined
    ones are proposed again only if a person asks for that. Returns the new announcements.
    QuotaError if too many proposals wait.
    """
    proposals = []
    for request in requests:
        if refusal(request.route, peer, settings, draft.state.protection):
            continue
        number = identity(peer.name, request)
        standing = draft.announcements.get(number)
        if standing and not (standing.declined and by is not None):
            continue
        _check_room(draft)
        new = Announcement(
            id=number,
            peer=peer.name,
            route=request.route,
            what=request.what,
            cost=request.cost,
            by=by or ITSELF,
            at=draft.now.unix,
            incident=incident,
            ttl=ttl,
        )
        draft.announcements[number] = new
        record(draft, new.by, "propose", new, incident=incident)
        proposals.append(new)
    return proposals


def _check_room(draft: Draft) -> None:
    waiting = (e for e in draft.announcements.values() if not (e.announced or e.declined))
    if sum(1 for _ in waiting) >= PROPOSED_MAX:
        raise QuotaError(
            f"{PROPOSED_MAX} proposals wait, and no more are made",
            "",
            "withdraw some: xdpctl upstream withdraw --all",
        )


def refusal(route: Route, peer: Peer, settings: UpstreamSettings, protection: Protection) -> str:
    """Why a route may not be announced to a peer, whoever asks; "" if it may.

    A route about a whole prefix may cover addresses of this host: with other components than TCP's
    it leaves its sessions alone, a blackhole must be typed, and what is diverted comes back.
    """
    victim = route.destination
    if not settings.ours(victim):
        return f"{victim} is not in upstream.own, so nobody may be asked about it"
    if not victim.exact and isinstance(route, Flow) and _leaves_tcp(route):
        return ""
    diverts = route.kind is Kind.DIVERSION
    if diverts and (why := diversion.refusal(peer, victim)):
        return why
    ends = {end for each in settings.peers for end in (each.address, each.local_address)}
    for addresses, why in (
        (protection.own if victim.exact and not diverts else (), "this host's own address"),
        (() if diverts else protection.neighbours, "a gateway or routing peer"),
        (ends, "an address of a BGP session"),
    ):
        for address in addresses:
            if victim.covers(address):
                return f"{victim} has {address}, {why}"
    return ""


def _leaves_tcp(route: Flow) -> bool:
    """Whether a route takes nothing of TCP."""
    protocols = route.takes.get("protocol")
    return protocols is not None and not ranges.holds(protocols, TCP)


def needs_word(announcement: Announcement, protection: Protection) -> bool:
    """Whether a person must type the victim to approve an announcement.

    True if its route takes all packets to a protected prefix, or to a part of one, or blackholes
    more than one address, or diverts.
    """
    victim = announcement.victim
    if announcement.kind is Kind.DIVERSION or (announcement.kind is Kind.RTBH and not victim.exact):
        return True
    inside = next(protection.inside(victim), None)
    return announcement.route.everything and (protection.over(victim) or inside) is not None


def approve(
    draft: Draft, number: str, by: str | None, confirm: str, settings: UpstreamSettings
) -> Announcement:
    """Announce what was proposed, for as long as it says, or else `upstream.ttl` or longer.

    `by` is the person who approves it; None for policy. NotFoundError; ConflictError if it is
    announced already; RuleError if it may not be announced; QuotaError if too many are announced;
    UnconfirmedError if the victim must be typed, and was not.
    """
    proposal, peer = _proposal(draft, number, settings)
    if why := refusal(proposal.route, peer, settings, draft.state.protection):
        raise RuleError(why, "victim", "")
    if needs_word(proposal, draft.state.protection) and confirm != str(proposal.victim):
        why = "which is protected" if proposal.victim.exact else "which is many addresses"
        verb = "diverts" if proposal.kind is Kind.DIVERSION else "takes"
        raise UnconfirmedError(
            f"this {verb} everything to {proposal.victim}, {why}",
            "confirm",
            f"type the address: --confirm {proposal.victim}",
        )
    entries = draft.announcements.values()
    if sum(entry.announced for entry in entries if entry.peer == peer.name) >= peer.most:
        raise QuotaError(
            f"{peer.most} routes are announced to {peer.name}, and it takes no more (its `most`)",
            "id",
            "withdraw one: xdpctl upstream withdraw ID",
        )
    if by is not None:
        draft.settings[POLICY_SETTING] = None  # somebody is here: policy may send again
    who, ttl = by or POLICY, lasts(proposal, settings)
    sent = draft.announcements[number] = proposal.replace(
        approved_by=who, sent_at=draft.now.unix, expires_ns=draft.now.after(ttl)
    )
    record(draft, who, "approve", sent, ttl=ttl)
    note(draft, sent, f"approved: ask AS {peer.peer_as} ({peer.name}) to {sent.what}", who)
    return sent


def lasts(announcement: Announcement, settings: UpstreamSettings) -> float:
    """For how many seconds something is announced each time."""
    return announcement.ttl or max(settings.ttl, LASTS.get(announcement.kind, 0.0))


def begun(announcement: Announcement, settings: UpstreamSettings, now: Now) -> float:
    """The Unix time since which something is announced, this time."""
    left = (announcement.expires_ns - now.ns) / 1e9
    return now.unix - (lasts(announcement, settings) - left)


def announce(
    draft: Draft,
    peer: Peer,
    request: Request,
    incident: str,
    by: str,
    confirm: str,
    ttl: float,
    settings: UpstreamSettings,
) -> Announcement:
    """Announce what a person wrote, with the checks of a proposal. Raises what `approve` does."""
    if why := refusal(request.route, peer, settings, draft.state.protection):
        raise RuleError(why, "match", "")
    made = propose(draft, peer, [request], incident, by, settings, ttl)
    if not made:
        number = identity(peer.name, request)
        raise ConflictError(f"{number} has this match already", "match", f"withdraw it: {_SEE}")
    return approve(draft, made[0].id, by, confirm, settings)


def _proposal(draft: Draft, number: str, settings: UpstreamSettings) -> tuple[Announcement, Peer]:
    proposal = draft.announcements.get(number)
    if proposal is None or proposal.declined:
        raise NotFoundError(f"there is no proposal {number[:40]!r}; see {_SEE}")
    if proposal.announced:
        raise ConflictError(f"{number} is announced already", "id", "")
    peer = settings.peer(proposal.peer)
    if peer is None or not peer.announces:
        raise RuleError(
            f"{proposal.peer} is no peer that may be asked", "peer", "set its mode to ask"
        )
    return proposal, peer


def withdraw(draft: Draft, number: str, by: str | None, why: str) -> Announcement:
    """Withdraw an announcement or a proposal. `by` is the person who does, or None. NotFoundError.

    What a person withdraws is not proposed again automatically for an hour, nor while its incident
    is open.
    """
    announcement = draft.announcements.get(number)
    if announcement is None or announcement.declined:
        raise NotFoundError(f"there is no announcement {number[:40]!r}; see {_SEE}")
    until = draft.now.after(_DECLINED_SECONDS)
    declined = announcement.replace(declined=True, sent_at=0.0, expires_ns=until, probing=False)
    draft.announcements[number] = None if by is None else declined
    who = by or ITSELF
    record(draft, who, "withdraw" if announcement.announced else "decline", announcement, why=why)
    if announcement.announced:
        note(
            draft,
            announcement,
            f"withdrew from {announcement.peer}: {announcement.what} ({why})",
            who,
        )
    return announcement


def withdraw_all(draft: Draft, by: str, why: str) -> list[Announcement]:
    """Withdraw everything that is announced, and all proposals.

    After that, policy approves nothing until a person has approved something.
    """
    draft.settings[POLICY_SETTING] = Automatic.OFF
    draft.note(by, "upstream.stop", "", why=why)
    announcements = [entry for entry in draft.announcements.values() if not entry.declined]
    return [withdraw(draft, entry.id, by, why) for entry in announcements]


def policy_stopped(draft: Draft) -> bool:
    """Whether policy approves nothing, because somebody withdrew everything."""
    return draft.settings.get(POLICY_SETTING) is Automatic.OFF


def record(draft: Draft, who: str, action: str, announcement: Announcement, **more: object) -> None:
    """Write an action on an announcement into the audit log."""
    detail = {"peer": announcement.peer, "route": syntax.text(announcement.route), **more}
    draft.note(who, f"upstream.{action}", announcement.id, **detail)


def note(draft: Draft, announcement: Announcement, text: str, by: str) -> None:
    """Add a remark to the incident of an announcement, if it has one."""
    if announcement.incident:
        remark(draft, announcement.incident, text, by)
