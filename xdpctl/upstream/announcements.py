# SPDX-License-Identifier: GPL-2.0-or-later
"""What is asked of peers: proposed, approved, withdrawn. Operations on a draft.

What is announced is what the drafts leave; the announcer brings the speaker to it.
"""

import hashlib
from collections.abc import Iterable

from xdpctl.base.net.prefix import Prefix
from xdpctl.control.state.draft import Draft
from xdpctl.errors import ConflictError, NotFoundError, QuotaError, RuleError, UnconfirmedError
from xdpctl.incidents.ledger.by_hand import remark
from xdpctl.model.announcement import PROPOSED_MAX, Announcement
from xdpctl.model.effect import Automatic
from xdpctl.model.protection import Protection
from xdpctl.upstream.bgp import syntax
from xdpctl.upstream.peers import Peer
from xdpctl.upstream.request import Request, for_peer
from xdpctl.upstream.settings import UpstreamSettings

ITSELF, POLICY = "xdpctl", "policy"  # named in records if nobody acts
POLICY_SETTING = "upstream"  # its identity; Automatic.OFF: policy sends nothing
_DECLINED_SECONDS = 3600.0
_SEE = "xdpctl upstream status"


def identity(peer: str, request: Request) -> str:
    """The id of an announcement: of what BGP tells routes apart by, the peer and the match."""
    named = f"{peer} {request.kind} {request.victim} {request.route.takes.id}"
    return "up-" + hashlib.sha256(named.encode()).hexdigest()[:10]


def propose(
    draft: Draft,
    peer: Peer,
    asked: Iterable[Request],
    incident: str,
    by: str | None,
    settings: UpstreamSettings,
) -> list[Announcement]:
    """Propose requests to a peer, but what it does not take, and what may never be announced.

    `by` is who asks for it, None: nobody. Those that stand already are left as they are; those that
    somebody declined are proposed anew if somebody asks for it. Returns the new ones. QuotaError if
    too many wait.
    """
    made = []
    for request in (taken for each in asked if (taken := for_peer(each, peer))):
        if refusal(request.victim, settings, draft.state.protection):
            continue
        number = identity(peer.name, request)
        there = draft.announcements.get(number)
        if there and not (there.declined and by is not None):
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
        )
        draft.announcements[number] = new
        record(draft, new.by, "propose", new, incident=incident)
        made.append(new)
    return made


def _check_room(draft: Draft) -> None:
    waiting = (e for e in draft.announcements.values() if not (e.announced or e.declined))
    if sum(1 for _ in waiting) >= PROPOSED_MAX:
        raise QuotaError(
            f"{PROPOSED_MAX} proposals wait, and no more are made",
            "",
            "withdraw some: xdpctl upstream withdraw --all",
        )


def refusal(victim: Prefix, settings: UpstreamSettings, protection: Protection) -> str:
    """Why nothing may be asked about a destination, whoever asks; "" if something may."""
    if not settings.ours(victim):
        return f"{victim} is not in upstream.own, so nobody may be asked to filter it"
    peers = {end for peer in settings.peers for end in (peer.address, peer.local_address)}
    for kept, why in (
        (protection.own, "this host's own address"),
        (protection.neighbours, "a gateway or routing peer"),
        (peers, "an address of a BGP session"),
    ):
        for address in kept:
            if victim.covers(address):
                return f"{victim} has {address}, {why}"
    return ""


def needs_word(announcement: Announcement, protection: Protection) -> bool:
    """Whether its victim must be typed to approve it: it takes everything to what is protected."""
    victim = announcement.victim
    inside = next(protection.inside(victim), None)
    return announcement.route.everything and (protection.over(victim) or inside) is not None


def approve(
    draft: Draft, number: str, by: str | None, confirm: str, settings: UpstreamSettings
) -> Announcement:
    """Announce what was proposed, for as long as `upstream.ttl` says.

    `by` is who approves it, None: policy. NotFoundError; ConflictError if it is announced already;
    RuleError if it may not be; QuotaError if too many are; UnconfirmedError if the victim must be
    typed, and was not.
    """
    found, peer = _proposal(draft, number, settings)
    if why := refusal(found.victim, settings, draft.state.protection):
        raise RuleError(why, "victim", "")
    if needs_word(found, draft.state.protection) and confirm != str(found.victim):
        raise UnconfirmedError(
            f"this takes everything to {found.victim}, which is protected",
            "confirm",
            f"type the address: --confirm {found.victim}",
        )
    if sum(each.announced for each in draft.announcements.values()) >= settings.most:
        raise QuotaError(
            f"{settings.most} routes are announced, which is upstream.most",
            "id",
            "withdraw one: xdpctl upstream withdraw ID",
        )
    if by is not None:
        draft.settings[POLICY_SETTING] = None  # somebody is here: policy may send again
    who = by or POLICY
    sent = draft.announcements[number] = found.replace(
        approved_by=who, sent_at=draft.now.unix, expires_ns=draft.now.after(settings.ttl)
    )
    record(draft, who, "approve", sent, ttl=settings.ttl)
    note(draft, sent, f"approved: ask AS {peer.peer_as} ({peer.name}) to {sent.what}", who)
    return sent


def _proposal(draft: Draft, number: str, settings: UpstreamSettings) -> tuple[Announcement, Peer]:
    found = draft.announcements.get(number)
    if found is None or found.declined:
        raise NotFoundError(f"there is no proposal {number[:40]!r}; see {_SEE}")
    if found.announced:
        raise ConflictError(f"{number} is announced already", "id", "")
    peer = settings.peer(found.peer)
    if peer is None or not peer.announces:
        raise RuleError(f"{found.peer} is no peer that may be asked", "peer", "set its mode to ask")
    return found, peer


def withdraw(draft: Draft, number: str, by: str | None, why: str) -> Announcement:
    """Take back what is announced, or a proposal. `by` is who does, None: nobody. NotFoundError.

    What somebody takes back is not proposed again by itself while its incident is open, and for an
    hour.
    """
    found = draft.announcements.get(number)
    if found is None or found.declined:
        raise NotFoundError(f"there is no announcement {number[:40]!r}; see {_SEE}")
    until = draft.now.after(_DECLINED_SECONDS)
    declined = found.replace(declined=True, sent_at=0.0, expires_ns=until, probing=False)
    draft.announcements[number] = None if by is None else declined
    who = by or ITSELF
    record(draft, who, "withdraw" if found.announced else "decline", found, why=why)
    if found.announced:
        note(draft, found, f"withdrew from {found.peer}: {found.what} ({why})", who)
    return found


def withdraw_all(draft: Draft, by: str, why: str) -> list[Announcement]:
    """Take back everything that is announced, and all proposals.

    Nothing is sent by policy after that, until somebody approves something.
    """
    draft.settings[POLICY_SETTING] = Automatic.OFF
    draft.note(by, "upstream.stop", "", why=why)
    listed = [each for each in draft.announcements.values() if not each.declined]
    return [withdraw(draft, each.id, by, why) for each in listed]


def policy_stopped(draft: Draft) -> bool:
    """Whether nothing is sent by policy, since somebody withdrew everything."""
    return draft.settings.get(POLICY_SETTING) is Automatic.OFF


def record(draft: Draft, who: str, action: str, about: Announcement, **more: object) -> None:
    """Write what was done about it into the audit log."""
    detail = {"peer": about.peer, "route": syntax.text(about.route), **more}
    draft.note(who, f"upstream.{action}", about.id, **detail)


def note(draft: Draft, about: Announcement, text: str, by: str) -> None:
    """Write it into the story of its incident, if there is one."""
    if about.incident:
        remark(draft, about.incident, text, by)
