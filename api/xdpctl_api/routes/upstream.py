# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes about what is upstream: how full the uplinks are, and what to ask of the provider."""

import asyncio
from collections.abc import Callable, Iterable

from fastapi import APIRouter
from pydantic import BaseModel

from xdpctl.base.net.prefix import parse_prefix
from xdpctl.control.state.draft import Draft
from xdpctl.errors import (
    ConfigError,
    ConflictError,
    NotFoundError,
    QuotaError,
    RuleError,
    UnconfirmedError,
)
from xdpctl.model.announcement import Announcement
from xdpctl.model.effect import Automatic
from xdpctl.model.incident import Incident
from xdpctl.model.rehearsal import Rehearsal
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.upstream import announcements, rehearsals
from xdpctl.upstream.announcements import refusal
from xdpctl.upstream.request import written
from xdpctl.upstream.settings import TTL_MOST
from xdpctl.watch.peering import Peering
from xdpctl_api.auth import Operator, Viewer
from xdpctl_api.dependencies import Ctx
from xdpctl_api.problems import refusals
from xdpctl_api.shapes.common import seconds
from xdpctl_api.shapes.upstream import (
    AnnounceIn,
    AnnouncementOut,
    ApproveIn,
    AttackOut,
    FreezeIn,
    OptionOut,
    PeerOut,
    ProposalsOut,
    ProposeIn,
    RehearseIn,
    SeenIn,
    UpstreamOut,
    WithdrawnOut,
    announcement_out,
    peer_out,
    request_out,
    uplink_out,
)

router = APIRouter(prefix="/v1/upstream", tags=["upstream"])
_ASKED = "somebody asked for it"


class LetterOut(BaseModel):
    """A letter to the provider's NOC, to be completed and sent by a person."""

    text: str


@router.get("")
async def read_upstream(who: Viewer, ctx: Ctx) -> UpstreamOut:
    """How full each uplink is, and what to ask of the provider about each open incident."""
    return await asyncio.to_thread(_upstream, ctx)


def _upstream(ctx: ControlPlane) -> UpstreamOut:
    watch = ctx.uplinks
    opened = [
        incident for incident in list(ctx.controller.state.incidents.values()) if incident.open
    ]
    standing = [e for e in list(ctx.controller.state.announcements.values()) if not e.declined]
    return UpstreamOut(
        peers=_peers(ctx),
        policy_stopped=ctx.peering is not None and ctx.peering.policy_stopped,
        announcements=_out(ctx, sorted(standing, key=lambda announcement: announcement.at)),
        uplinks=[uplink_out(link, name not in watch.absent) for name, link in watch.links.items()],
        attacks=[_attack(ctx, incident) for incident in opened],
    )


def _attack(ctx: ControlPlane, incident: Incident) -> AttackOut:
    asked, compared = ctx.uplinks.compared(incident)
    return AttackOut(
        incident=incident.id,
        subject=incident.subject,
        requests=[request_out(request) for request in asked],
        options=[OptionOut(**option._asdict()) for option in compared],
    )


def _peers(ctx: ControlPlane) -> list[PeerOut]:
    if ctx.peering is None:
        return []
    rehearsed = ctx.controller.state.rehearsals
    return [peer_out(peer, ctx.peering, rehearsed) for peer in ctx.peering.settings.peers]


def _out(ctx: ControlPlane, entries: Iterable[Announcement]) -> list[AnnouncementOut]:
    if ctx.peering is None:
        return []
    protection, now = ctx.controller.state.protection, ctx.controller.clock.read()
    return [
        announcement_out(announcement, ctx.peering, protection, now) for announcement in entries
    ]


def _peering(ctx: ControlPlane) -> Peering:
    if ctx.peering is None:
        raise ConfigError("no BGP peer is configured: add [[upstream.peers]] to the configuration")
    return ctx.peering


@router.post("/proposals", responses=refusals(NotFoundError, ConfigError, RuleError, ConflictError))
async def propose(body: ProposeIn, who: Operator, ctx: Ctx) -> ProposalsOut:
    """Propose what could be asked of peers about an incident, whether a link is full or not.

    Requests that a peer does not take, or that stand already, are left out. 400 if nothing may be
    asked about the victim, for example because it is not in `upstream.own`.
    """
    peering = _peering(ctx)
    incident = ctx.controller.state.incidents.get(body.incident)
    if incident is None:
        raise NotFoundError(f"there is no incident {body.incident!r}; see GET /v1/incidents")
    if not incident.open:
        raise ConflictError(f"the incident {incident.id} is closed", "incident", "")
    peers = [peer for peer in peering.settings.peers if body.peer in (None, peer.name)]
    if not peers:
        raise NotFoundError(f"there is no peer {body.peer!r}; see GET /v1/upstream")
    asked = [
        (peer, await asyncio.to_thread(ctx.uplinks.filled.asked, incident, uplink, peer))
        for peer in peers
        if peer.announces and (uplink := peering.settings.uplink_of(peer))
    ]

    protection = ctx.controller.state.protection
    why = [
        refusal(one.route, peer, peering.settings, protection)
        for peer, ones in asked
        for one in ones
    ]
    if why and all(why):
        raise RuleError(why[0], "incident", "see upstream.own")

    def operation(draft: Draft) -> list[Announcement]:
        proposals: list[Announcement] = []
        for peer, requests in asked:
            proposals += announcements.propose(
                draft, peer, requests, incident.id, who.name, peering.settings
            )
        return proposals

    proposals = await asyncio.wrap_future(ctx.controller.submit(operation, scope=None))
    return ProposalsOut(proposals=_out(ctx, proposals))


@router.post(
    "/announcements",
    status_code=201,
    responses=refusals(
        NotFoundError, ConfigError, RuleError, ConflictError, QuotaError, UnconfirmedError
    ),
)
async def announce(body: AnnounceIn, who: Operator, ctx: Ctx) -> AnnouncementOut:
    """Announce a route that a person wrote; it is withdrawn automatically after `ttl`."""
    peering = _peering(ctx)
    settings, peer = peering.settings, peering.settings.peer(body.peer)
    if peer is None or not peer.announces:
        raise NotFoundError(f"{body.peer!r} is no peer that may be asked; see GET /v1/upstream")
    if body.incident and body.incident not in ctx.controller.state.incidents:
        raise NotFoundError(f"there is no incident {body.incident!r}; see GET /v1/incidents")
    ttl = seconds(body.ttl, "ttl") or 0.0
    if ttl > TTL_MOST:
        raise RuleError(f"ttl is {ttl:g} s", "ttl", "give at most a day")
    uplink = settings.uplink_of(peer)
    found = await asyncio.to_thread(ctx.uplinks.filled.of, uplink) if uplink else None
    request = written(peer, body.match.match(), body.kind, int(body.bps or 0), found)

    def operation(draft: Draft) -> Announcement:
        return announcements.announce(
            draft, peer, request, body.incident, who.name, body.confirm, ttl, settings
        )

    made = await asyncio.wrap_future(ctx.controller.submit(operation, scope=None))
    peering.announcer.wake()
    return _out(ctx, [made])[0]


@router.post(
    "/announcements/{number}",
    responses=refusals(NotFoundError, ConfigError, ConflictError, QuotaError, UnconfirmedError),
)
async def approve(number: str, body: ApproveIn, who: Operator, ctx: Ctx) -> AnnouncementOut:
    """Announce a proposal to its peer; it is withdrawn automatically after `upstream.ttl`."""
    peering, confirm = _peering(ctx), body.confirm

    def operation(draft: Draft) -> Announcement:
        return announcements.approve(draft, number, who.name, confirm, peering.settings)

    approved = await asyncio.wrap_future(ctx.controller.submit(operation, scope=None))
    peering.announcer.wake()
    return _out(ctx, [approved])[0]


@router.delete("/announcements/{number}", responses=refusals(NotFoundError, ConfigError))
async def withdraw(number: str, who: Operator, ctx: Ctx) -> WithdrawnOut:
    """Take back an announcement, or drop a proposal."""
    return await _withdraw(
        ctx, lambda draft: [announcements.withdraw(draft, number, who.name, _ASKED)]
    )


@router.delete("/announcements", responses=refusals(ConfigError))
async def withdraw_all(who: Operator, ctx: Ctx) -> WithdrawnOut:
    """Take back all announcements, and drop all proposals."""
    return await _withdraw(ctx, lambda draft: announcements.withdraw_all(draft, who.name, _ASKED))


async def _withdraw(
    ctx: ControlPlane, operation: Callable[[Draft], list[Announcement]]
) -> WithdrawnOut:
    peering = _peering(ctx)
    withdrawn = await asyncio.wrap_future(ctx.controller.submit(operation, scope=None))
    peering.announcer.wake()
    return WithdrawnOut(
        withdrawn={announcement.id: announcement.what for announcement in withdrawn}
    )


@router.post("/peers/{name}/freeze", responses=refusals(NotFoundError, ConfigError))
async def freeze(name: str, body: FreezeIn, who: Operator, ctx: Ctx) -> PeerOut:
    """Add no more rules for what a peer sends; those that stand end as usual."""
    peering = _peering(ctx)
    peer = peering.settings.peer(name)
    if peer is None:
        raise NotFoundError(f"there is no peer {name[:40]!r}; see GET /v1/upstream")

    def operation(draft: Draft) -> None:
        draft.settings[peer.origin] = Automatic.OFF if body.on else None
        draft.note(who.name, "upstream.freeze" if body.on else "upstream.thaw", peer.name)

    await asyncio.wrap_future(ctx.controller.submit(operation, scope=None))
    peering.receiver.wake()
    return peer_out(peer, peering, ctx.controller.state.rehearsals)


@router.post(
    "/peers/{name}/rehearsals",
    status_code=201,
    responses=refusals(
        NotFoundError, ConfigError, RuleError, ConflictError, QuotaError, UnconfirmedError
    ),
)
async def rehearse(name: str, body: RehearseIn, who: Operator, ctx: Ctx) -> AnnouncementOut:
    """Ask a peer to drop everything to a spare address for two minutes, to see whether it does.

    Whether it is enforced shows if somebody sends packets to the address from outside, from ten
    seconds before until the end. The result is the peer's `rehearsal`.
    """
    peering = _peering(ctx)
    peer, address = peering.settings.peer(name), parse_prefix(body.address, "address")
    uplink = peering.settings.uplink_of(peer) if peer else None
    if peer is None or not peer.announces or uplink is None:
        raise NotFoundError(f"{name[:40]!r} is no peer that may be asked; see GET /v1/upstream")
    if ctx.uplinks.links[uplink.interface].state.full_for:
        raise ConflictError(f"{uplink.interface} is full", "peer", "rehearse in peacetime")
    found = await asyncio.to_thread(ctx.uplinks.filled.of, uplink)
    asked = rehearsals.request(peer, address, body.kind, found)

    def operation(draft: Draft) -> Announcement:
        return rehearsals.begin(draft, peer, asked, who.name, peering.settings)

    begun = await asyncio.wrap_future(ctx.controller.submit(operation, scope=None))
    peering.announcer.wake()
    return _out(ctx, [begun])[0]


@router.put("/peers/{name}/rehearsal", responses=refusals(NotFoundError, ConfigError))
async def see(name: str, body: SeenIn, who: Operator, ctx: Ctx) -> PeerOut:
    """Keep whether somebody found the route of the last rehearsal at the provider."""
    peering = _peering(ctx)
    peer = peering.settings.peer(name)
    if peer is None:
        raise NotFoundError(f"there is no peer {name[:40]!r}; see GET /v1/upstream")

    def operation(draft: Draft) -> Rehearsal:
        return rehearsals.see(draft, peer, body.kind, body.seen, who.name)

    await asyncio.wrap_future(ctx.controller.submit(operation, scope=None))
    return peer_out(peer, peering, ctx.controller.state.rehearsals)


@router.get("/letters/{incident_id}", responses=refusals(NotFoundError, ConfigError))
async def read_letter(incident_id: str, who: Operator, ctx: Ctx) -> LetterOut:
    """A letter to the provider's NOC while an attack goes on: what to filter for us."""
    incident = ctx.controller.state.incidents.get(incident_id)
    if incident is None:
        raise NotFoundError(f"there is no incident {incident_id[:40]!r}; see GET /v1/incidents")
    text = await asyncio.to_thread(ctx.uplinks.letter, incident)
    if not text:
        raise ConfigError("no uplink is configured: add upstream.uplinks to the configuration")
    return LetterOut(text=text)
