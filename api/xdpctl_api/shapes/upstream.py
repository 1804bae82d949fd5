# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of the uplinks, of BGP peers, and of requests to the provider."""

from collections.abc import Mapping
from datetime import datetime
from math import isnan
from typing import Literal

from pydantic import BaseModel, Field

from xdpctl.base.clock import Now
from xdpctl.model.announcement import Announcement
from xdpctl.model.protection import Protection
from xdpctl.model.rehearsal import Rehearsal
from xdpctl.model.route import Kind
from xdpctl.upstream import orders
from xdpctl.upstream.announcements import needs_word
from xdpctl.upstream.bgp import syntax
from xdpctl.upstream.effects import Verdict
from xdpctl.upstream.link import Link
from xdpctl.upstream.peers import Peer, PeerMode, Receive
from xdpctl.upstream.proposer import session_of
from xdpctl.upstream.rehearsals import of_peer
from xdpctl.upstream.request import Request
from xdpctl.watch.peering import Peering
from xdpctl_api.shapes.common import Duration, Strict, timestamp
from xdpctl_api.shapes.matches import MatchOrText

_REASONS = 20
State = Literal["proposed", "announced", "probing"]


class UplinkOut(BaseModel):
    """An interface to a provider, as of its last second."""

    interface: str
    bits_in: int = Field(description="Its rate in bits a second, as configured")
    filtered: bool = Field(description="Whether the filter sees it: `interfaces` lists it")
    bits: float | None = Field(description="Bits a second that arrive, on the wire")
    share: float | None = Field(description="Share of bits_in; null: not known yet")
    lost: float | None = Field(description="Packets a second that the device itself drops")
    bits_out: int | None = Field(description="Its outgoing rate in bits a second, if configured")
    share_out: float | None = Field(description="Share of bits_out; null: not known")
    full_out_for: int = Field(description="Seconds for which outgoing traffic has filled it")
    full_for: int = Field(description="Seconds for which it has been full; 0: it is not")
    why: str
    rate_is_wrong: bool = Field(description="More came than bits_in: it is configured too low")


class RequestOut(BaseModel):
    """Something to ask of the provider."""

    kind: Kind
    route: str = Field(description="In the syntax of ExaBGP")
    what: str
    cost: str = Field(description="What it takes, and whom that costs what")


class OptionOut(BaseModel):
    """Something that can be done about an attack, beside the others."""

    name: Literal["nothing", "flowspec", "diversion", "blackhole"]
    takes: float = Field(description="Share of the attack's bytes that it takes")
    people: float | None = Field(
        description="Share of what known flows send there that is lost; null: not known"
    )
    at_most: float | None = Field(description="Not more than this, with 95 % confidence")
    arrives: float = Field(description="Share of the uplink's rate that then arrives, at least")
    says: str = Field(description="What else is to be said about it")


class AttackOut(BaseModel):
    """An open incident, with what to ask about it; the least costly first."""

    incident: str
    subject: str
    requests: list[RequestOut]
    options: list[OptionOut] = Field(description="Side by side, with doing nothing")


class RehearsalOut(BaseModel):
    """What came of a rehearsal."""

    at: datetime
    by: str
    kind: Kind
    what: str
    accepted: bool = Field(description="The session took the route, and stood")
    enforced: bool | None = Field(description="Packets to the address ended; null: cannot be told")
    why: str = Field(description="Why it was not accepted, or cannot be told")
    seen: bool | None = Field(description="Somebody found it at the provider; null: nobody looked")
    says: str = Field(description="All of it, in words")


class PeerOut(BaseModel):
    """A BGP peer, and the session with it."""

    name: str
    address: str
    peer_as: int
    mode: PeerMode
    receive: Receive
    up: bool
    families: list[str] = Field(description="As both sides agreed")
    why: str = Field(description="Why there is no session")
    received: int = Field(description="FlowSpec routes that it sent and that are kept")
    beyond: int = Field(description="Routes that it sent beyond receive_most")
    applied: int = Field(description="Its routes that are rules here")
    not_applied: list[str] = Field(description="Why other routes are not; the first twenty reasons")
    frozen: bool = Field(description="No rules are added for it")
    looking_glass: str = Field(description="Where people see its routes; {prefix} is to be filled")
    rehearsals: list[RehearsalOut] = Field(description="The last one by each kind of routes")


class AnnouncementOut(BaseModel):
    """A request to a peer, which is announced or proposed."""

    id: str
    peer: str
    kind: Kind
    state: State = Field(description="probing: withdrawn to see what happens")
    route: str = Field(description="In the syntax of ExaBGP")
    victim: str
    what: str
    cost: str
    incident: str
    by: str
    at: datetime
    confirm: bool = Field(description="To approve it, its victim must be given as confirm")
    approved_by: str
    sent_at: datetime | None = Field(description="null: it is a proposal")
    ends_in: float = Field(description="Seconds until it is withdrawn, and the link is watched")
    renewed: int
    told: bool = Field(description="The speaker was told and has accepted it")
    problem: str
    effect: str = Field(description="Whether it helped, in words; empty until it is announced")
    helped: tuple[float, float] | None = Field(
        description="It takes from this to that share of its packets; null: not known"
    )


class UpstreamOut(BaseModel):
    """The uplinks and peers, and what to ask of the provider about each open incident."""

    uplinks: list[UplinkOut]
    attacks: list[AttackOut]
    peers: list[PeerOut]
    announcements: list[AnnouncementOut]
    policy_stopped: bool = Field(
        description="Everything was withdrawn; until something is approved, policy sends nothing"
    )


class ProposeIn(Strict):
    """The incident to propose requests for, to one peer or to all."""

    incident: str = Field(max_length=64)
    peer: str | None = Field(default=None, max_length=64)


class ApproveIn(Strict):
    """The approval of a proposal."""

    confirm: str = Field(default="", max_length=64, description="The victim, where it is needed")


class AnnounceIn(Strict):
    """A route that a person writes, for one peer."""

    match: MatchOrText
    peer: str = Field(max_length=64)
    bps: float | None = Field(
        default=None,
        ge=1_000,
        le=1e12,
        allow_inf_nan=False,
        description="Bits a second that pass, for flowspec; null: none, all is dropped",
    )
    kind: Kind = Field(
        default=Kind.FLOWSPEC, description="rtbh and diversion take all to a destination"
    )
    ttl: Duration | None = Field(
        default=None, description="null: upstream.ttl, for a diversion at least an hour"
    )
    incident: str = Field(default="", max_length=64, description="The incident that tells of it")
    confirm: str = Field(default="", max_length=64, description="The victim, where it is needed")


class RehearseIn(Strict):
    """A spare address, to which a peer is asked to drop everything for two minutes."""

    address: str = Field(max_length=64)
    kind: Kind = Field(default=Kind.FLOWSPEC, description="flowspec or rtbh")


class SeenIn(Strict):
    """Whether a person found the route of a rehearsal at the provider."""

    seen: bool = Field(description="false: it was not there")
    kind: Kind = Field(default=Kind.FLOWSPEC, description="That of the rehearsal's route")


class ProposalsOut(BaseModel):
    """The proposals that were made."""

    proposals: list[AnnouncementOut]


class WithdrawnOut(BaseModel):
    """What was withdrawn: the ids, and what each asked."""

    withdrawn: dict[str, str]


class FreezeIn(Strict):
    """Whether rules are added for a peer."""

    on: bool


def uplink_out(link: Link, filtered: bool) -> UplinkOut:
    """One uplink."""
    state = link.state
    return UplinkOut(
        interface=link.uplink.interface,
        bits_in=link.uplink.bits_in,
        filtered=filtered,
        bits=_known(state.reading.bits),
        share=_known(state.share),
        lost=_known(state.reading.lost),
        bits_out=link.uplink.bits_out,
        share_out=_known(state.share_out),
        full_out_for=state.full_out_for,
        full_for=state.full_for,
        why=state.why,
        rate_is_wrong=state.rate_is_wrong,
    )


def request_out(request: Request) -> RequestOut:
    """One request."""
    route = syntax.text(request.route)
    return RequestOut(kind=request.kind, route=route, what=request.what, cost=request.cost)


def peer_out(peer: Peer, peering: Peering, rehearsed: Mapping[str, Rehearsal]) -> PeerOut:
    """A peer, with its session as the BGP speaker last reported it, and its last rehearsals."""
    session = session_of(peering.speaker.report, peer)
    heard = peering.receiver.of[peer.name]
    why = [*heard.refused.values(), *heard.unapplied.values()]
    return PeerOut(
        name=peer.name,
        address=peer.host,
        peer_as=peer.peer_as,
        mode=peer.mode,
        receive=peer.receive,
        up=session is not None and session.up,
        families=list(session.families) if session else [],
        why=session.why if session else "the BGP speaker does not answer",
        received=session.kept if session else 0,
        beyond=session.beyond if session else 0,
        applied=len(heard.routes) - len(heard.unapplied),
        not_applied=list(dict.fromkeys(why))[:_REASONS],
        frozen=peering.frozen(peer),
        looking_glass=peer.looking_glass,
        rehearsals=[_rehearsal_out(each) for each in of_peer(rehearsed, peer)],
    )


def _rehearsal_out(rehearsal: Rehearsal) -> RehearsalOut:
    return RehearsalOut(
        at=timestamp(rehearsal.at),
        by=rehearsal.by,
        kind=rehearsal.kind,
        what=rehearsal.what,
        accepted=rehearsal.accepted,
        enforced=rehearsal.enforced,
        why=rehearsal.why,
        seen=rehearsal.seen,
        says=str(rehearsal),
    )


def announcement_out(
    announcement: Announcement, peering: Peering, protection: Protection, now: Now
) -> AnnouncementOut:
    """An announcement, with its state at the BGP speaker, and its effect."""
    settings, report = peering.settings, peering.announcer.speaker.report
    effect = peering.announcer.effects.of.get(announcement.id)
    verdict, told = effect.verdict if effect else None, orders.told(announcement, report, settings)
    why = orders.obstacle(announcement, report, settings)
    state: State = "announced" if announcement.announced else "proposed"
    seconds = (announcement.expires_ns - now.ns) / 1e9 if announcement.announced else 0.0
    return AnnouncementOut(
        id=announcement.id,
        peer=announcement.peer,
        kind=announcement.kind,
        state="probing" if announcement.probing else state,
        route=syntax.text(announcement.route),
        victim=str(announcement.victim),
        what=announcement.what,
        cost=announcement.cost,
        incident=announcement.incident,
        by=announcement.by,
        at=timestamp(announcement.at),
        confirm=needs_word(announcement, protection),
        approved_by=announcement.approved_by,
        sent_at=timestamp(announcement.sent_at) if announcement.sent_at else None,
        ends_in=max(0.0, round(seconds, 3)),
        renewed=announcement.renewed,
        told=told is not None and not told.problem,
        problem=f"not sent: {why}" if why else "",
        effect=str(verdict) if verdict else "",
        helped=_helped(verdict) if verdict else None,
    )


def _helped(verdict: Verdict) -> tuple[float, float] | None:
    known = verdict.helped and not verdict.why
    return (round(verdict.low, 3), round(verdict.high, 3)) if known else None


def _known(value: float) -> float | None:
    return None if isnan(value) else round(value, 4)
