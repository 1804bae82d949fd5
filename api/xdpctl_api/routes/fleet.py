# SPDX-License-Identifier: GPL-2.0-or-later
"""Routes of the fleet: its nodes, its incidents, its history and its policy."""

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from xdpctl.control.operations.undo import Undone
from xdpctl.control.state.draft import Draft
from xdpctl.datapath.loader.module_signature import body_of
from xdpctl.errors import (
    AccessError,
    ConfigError,
    EngineError,
    NotFoundError,
    RuleError,
)
from xdpctl.fleet.intent import POLICY, Special
from xdpctl.fleet.node import Seen
from xdpctl.mitigation.undo import undo_change
from xdpctl.model.identity import Caller
from xdpctl.model.match import module as names
from xdpctl.model.shared import Canary
from xdpctl.processes.control_plane import ControlPlane
from xdpctl.processes.fleet_link import required
from xdpctl_api.auth import Admin, Unbound, Viewer
from xdpctl_api.dependencies import Ctx, States
from xdpctl_api.paging import Cursor
from xdpctl_api.paging import number as number_of
from xdpctl_api.problems import CHANGE, GUARDED, refusals
from xdpctl_api.shapes.common import timestamp
from xdpctl_api.shapes.engine import engine_out, relay_out
from xdpctl_api.shapes.fleet import (
    FleetChangeOut,
    FleetHistoryOut,
    FleetOut,
    ModuleIn,
    ModuleOut,
    NodeOut,
    PartOut,
    PolicyIn,
    PolicyOut,
    SharedOut,
    StoriesOut,
    StoryOut,
    conflict_out,
    node_out,
    where_out,
)
from xdpctl_api.shapes.history import UndoneOut, undone_out
from xdpctl_api.shapes.rollouts import rollout_out
from xdpctl_api.transport.callers import PEER, NodePeer

router = APIRouter(prefix="/v1/fleet", tags=["fleet"])
_SHOWN = 100


@router.get("", responses=refusals(NotFoundError))
async def read_fleet(who: Viewer, ctx: Ctx) -> FleetOut:
    """All nodes of the fleet, the engine, and what this node does not apply."""
    return await asyncio.to_thread(_fleet, ctx)


def _fleet(ctx: ControlPlane) -> FleetOut:
    agent = required(ctx.fleet)
    member, state = agent.member, ctx.controller.state
    problem, members = member.contact.problem, agent.watching.members
    try:
        agent.reporter.look()
    except EngineError as error:
        problem = str(error)
    nodes = agent.reporter.nodes
    refused = dict(member.refused)
    return FleetOut(
        name=member.name,
        isolated=member.contact.isolated,
        silent_for=round(member.contact.silent, 1),
        unsent=len(state.unsent),
        engine=engine_out(
            member.engine.endpoint,
            members.all,
            problem,
            members.looked,
            member.settings.behind_relays,
        ),
        feeds=agent.rounds.feeds.leader,
        nodes=[
            node_out(node, agent.whereabouts.looked(), nodes.revision)
            for node in sorted(nodes.by_name.values(), key=lambda node: node.name)
        ],
        relays=list(map(relay_out, agent.reporter.relays)),
        rollouts=[rollout_out(number, each) for number, each in list(state.rollouts.items())],
        conflicts=[conflict_out(key, yielded) for key, yielded in list(state.yielded.items())],
        troubles=list(map(str, agent.watching.troubles())),
        unknown=dict(list(refused.items())[:_SHOWN]),
    )


@router.get("/nodes/{name}", responses=refusals(NotFoundError))
async def read_node(name: str, who: Viewer, ctx: Ctx) -> NodeOut:
    """One node, as it reports itself."""
    agent = required(ctx.fleet)
    node: Seen | None = agent.reporter.nodes.by_name.get(name)
    if node is None:
        raise NotFoundError(f"there is no node {name[:40]!r} in the fleet; see xdpctl fleet status")
    return node_out(node, agent.whereabouts.looked(), agent.member.applied)


@router.post("/share", responses=refusals(NotFoundError, *CHANGE))
async def share_all(who: Unbound, ctx: Ctx) -> SharedOut:
    """State for all nodes every rule, set, token and setting that only this node has."""
    agent = required(ctx.fleet)
    return SharedOut(intents=await asyncio.to_thread(agent.share_all, who.name))


@router.post("/leave", responses=refusals(NotFoundError, *CHANGE))
async def leave_fleet(who: Admin, ctx: Ctx, request: Request) -> SharedOut:
    """Leave the fleet, and keep everything as this node's own.

    Another node cannot ask for it: its certificate may be stolen.
    """
    if isinstance(request.scope.get(PEER), NodePeer):
        raise AccessError("a node leaves its fleet only if that is asked for on it")
    agent = required(ctx.fleet)
    intents = await asyncio.to_thread(agent.leave, who.name)
    ctx.fleet = None
    return SharedOut(intents=intents)


@router.get("/incidents", responses=refusals(NotFoundError, EngineError))
async def read_stories(who: Viewer, ctx: Ctx) -> StoriesOut:
    """The incidents of all nodes: one story for each attack, with each node's part in it."""
    stories = await asyncio.to_thread(required(ctx.fleet).stories)
    return StoriesOut(stories=[_story(story) for story in stories[:_SHOWN]])


def _story(story: Any) -> StoryOut:
    parts = [part for _, part in story.parts]
    return StoryOut(
        subject=story.subject,
        opened_at=timestamp(story.opened_at),
        closed_at=timestamp(story.closed_at) if story.closed_at else None,
        attacks=sorted({attack for part in parts for attack in part.attacks}),
        peak_pps=sum(part.peak_pps for part in parts),
        peak_bps=sum(part.peak_bps for part in parts),
        packets=sum(part.packets for part in parts),
        parts=[
            PartOut(
                node=node,
                incident=part.id,
                opened_at=timestamp(part.opened_at),
                closed_at=timestamp(part.closed_at) if part.closed_at else None,
                attacks=list(part.attacks),
                detectors=list(part.detectors),
                peak_pps=part.peak_pps,
                peak_bps=part.peak_bps,
                rules=part.rules_made,
                packets=part.packets,
            )
            for node, part in story.parts
        ],
    )


@router.get("/history", responses=refusals(NotFoundError, EngineError))
async def read_fleet_history(
    who: Viewer,
    ctx: Ctx,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Cursor = None,
) -> FleetHistoryOut:
    """What people changed on all nodes in the last seven days, the newest first."""
    first = number_of(cursor, 0)
    changes = await asyncio.to_thread(required(ctx.fleet).history, first + limit + 1)
    return FleetHistoryOut(
        changes=[
            FleetChangeOut(
                node=change.node,
                number=change.number,
                at=timestamp(change.first.at),
                actor=change.first.actor,
                action=change.first.action,
                subject=change.first.subject,
                records=change.records,
                undoable=change.undoable,
            )
            for change in changes[first : first + limit]
        ],
        next=str(first + limit) if len(changes) > first + limit else None,
    )


@router.post(
    "/history/{node}/{number}/undo", responses=refusals(NotFoundError, EngineError, *GUARDED)
)
async def undo_fleet_change(
    node: str, number: int, who: Unbound, ctx: Ctx, states: States, force: bool = False
) -> UndoneOut:
    """Undo a change of another node, on all nodes.

    What would drop most of this host's connections again needs `force`.
    """
    agent, hits = required(ctx.fleet), ctx.controller.hits
    if number < 1:
        raise NotFoundError(f"no change has the number {number}")
    stored = await asyncio.to_thread(agent.parts, node, number)
    change = ctx.controller.change_by(who, force)

    def operation(draft: Draft) -> Undone:
        return undo_change(draft, number, stored, who, hits)

    future = ctx.controller.submit(operation, change, states.scope)
    undone = await asyncio.wrap_future(future)
    recorded = change if undone.restored else None
    where = await states.where(recorded, ())
    return undone_out(undone, False, recorded.number if recorded else None, where)


@router.get("/policy", responses=refusals(NotFoundError))
async def read_fleet_policy(who: Viewer, ctx: Ctx) -> PolicyOut:
    """The policy of the fleet, which replaces [automatic] on each node; empty: there is none."""
    required(ctx.fleet)
    return PolicyOut(toml=ctx.fleet_policy.text)


@router.put("/policy", responses=refusals(NotFoundError, ConfigError, RuleError, *CHANGE))
async def set_fleet_policy(body: PolicyIn, who: Unbound, ctx: Ctx, states: States) -> PolicyOut:
    """Set a policy that replaces the table `[automatic]` on all nodes, or on a canary first.

    After an empty policy each node uses the table of its own file again.
    """
    agent = required(ctx.fleet)
    if isinstance(states.scope, Canary):
        begin = agent.rollouts.begin
        number = await asyncio.to_thread(begin, who.name, states.scope.seconds, body.toml)
        first = await states.where(int(number), ())
        return PolicyOut(toml=ctx.fleet_policy.text, fleet=first)
    if states.scope != "":
        raise RuleError("a policy is for all nodes", "scope", "leave it out, or give a canary")
    await asyncio.to_thread(ctx.fleet_policy.set, body.toml)
    data = json.dumps(body.toml).encode() if body.toml else None
    where = await asyncio.to_thread(agent.state_and_wait, POLICY, who.name, data)
    return PolicyOut(toml=ctx.fleet_policy.text, fleet=where_out(where))


@router.put("/modules/{name}", responses=refusals(NotFoundError, ConfigError, RuleError, *CHANGE))
async def share_module(
    name: str, body: ModuleIn, who: Admin, ctx: Ctx, states: States
) -> ModuleOut:
    """Give a signed module to all nodes. Each loads it if one of its own signers has signed it."""
    required(ctx.fleet)
    if body_of(body.text.encode()) == body.text.encode():
        fix = f"sign it: xdpctl module sign {names.check(name, 'name')}.c --key FILE"
        raise RuleError("a module that a fleet shares is signed", "text", fix)
    return await _share(ctx, states, who, name, body.text)


@router.delete("/modules/{name}", responses=refusals(NotFoundError, ConfigError, *CHANGE))
async def unshare_module(name: str, who: Admin, ctx: Ctx, states: States) -> ModuleOut:
    """Remove a module that the fleet shares from all nodes. The rules that ask it take nothing.

    A node that has left its fleet removes it from itself alone.
    """
    ctx.fleet_modules.require(name)
    return await _share(ctx, states, who, name, "")


async def _share(ctx: ControlPlane, states: States, who: Caller, name: str, text: str) -> ModuleOut:
    """Write a module here, and state it for all nodes of a fleet; "" removes it."""
    if states.scope != "":
        raise RuleError("a fleet shares a module with all nodes", "scope", "leave it out")
    await asyncio.to_thread(ctx.fleet_modules.set, name, text)
    if ctx.fleet is None:
        return ModuleOut(name=name)
    key, data = f"{Special.MODULES}/{name}", json.dumps(text).encode() if text else None
    where = await asyncio.to_thread(ctx.fleet.state_and_wait, key, who.name, data)
    return ModuleOut(name=name, fleet=where_out(where))
