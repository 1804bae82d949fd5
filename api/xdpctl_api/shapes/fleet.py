# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of a fleet: where a change is in force, and the state of its nodes."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from xdpctl.fleet.answer import Where
from xdpctl.fleet.node import Seen
from xdpctl.model.shared import Yielded
from xdpctl.model.wait import Wait
from xdpctl.watch.condition import State
from xdpctl_api.paging import Next
from xdpctl_api.shapes.common import Strict, timestamp
from xdpctl_api.shapes.engine import EngineOut, RelayOut
from xdpctl_api.shapes.rollouts import RolloutOut


class ForWhom(BaseModel):
    """The nodes of a fleet that a change is for; parameters of calls that change many things."""

    scope: str = Field(default="", description="all (default), local, node:NAME or group:NAME")
    wait: Wait = Field(default=Wait.ALL, description="What the answer waits for")


FOR_WHOM = frozenset(ForWhom.model_fields)


class WhereOut(BaseModel):
    """Where a change is in force, in a fleet."""

    text: str = Field(description="In words: 7 of 8, edge3 silent for 12 s")
    in_engine: bool = Field(description="Whether a majority of the engine keeps it")
    revision: int = Field(description="The engine's revision that has it; 0: none yet")
    nodes: int = Field(description="How many nodes there are")
    applied: list[str]
    behind: list[str] = Field(description="Nodes that report, and do not have it yet")
    refused: dict[str, str] = Field(description="Nodes that do not apply it, with why")
    unclear: list[str] = Field(description="Nodes that refuse more than their report can name")
    silent: dict[str, float | None] = Field(
        description="Other nodes, with the seconds since they were heard of; null: never"
    )


def absent(value: object) -> bool:
    """Whether a field is left out of an answer, because the node is in no fleet."""
    return value is None


def where_out(where: Where) -> WhereOut:
    """Where a change is in force, as the API shows it."""
    return WhereOut(
        text=str(where),
        in_engine=bool(where.revision),
        revision=where.revision,
        nodes=where.nodes,
        applied=list(where.applied),
        behind=list(where.behind),
        refused=where.refused,
        unclear=list(where.unclear),
        silent={name: _finite(seconds) for name, seconds in where.silent.items()},
    )


class NodeOut(BaseModel):
    """A node of the fleet; what it says of itself."""

    name: str
    live: bool
    silent_for: float | None = Field(description="Seconds since it was heard of; null: never")
    groups: list[str]
    address: str
    version: str
    behind: int = Field(description="Revisions of the engine that it has not taken over yet")
    unsent: int = Field(description="Intents that were stated there and wait to be sent")
    rules: int
    matches: int
    sets: int
    incidents: int
    bypass: bool
    passive: bool = Field(
        description="Whether somebody switched its detectors off, or to observing"
    )
    held: str = Field(
        description="Its condition in one word, as GET /v1/condition has it; empty: not known",
        json_schema_extra={"pattern": f"^({'|'.join(State)}|)$"},
    )
    refusals: int = Field(description="Intents that it does not apply")
    refused: dict[str, str] = Field(description="The first of them, with why")
    problems: list[str]
    rollouts: list[str] = Field(description="What it tries before other nodes have it")
    certificate_ends: datetime | None
    armed: dict[str, int] = Field(
        description="Packets that rules of other nodes' detectors hit there, by node"
    )


class ConflictOut(BaseModel):
    """What somebody asked for on this node, and what gave way to another node's change."""

    key: str = Field(description="Key of the intent: rules/203.0.113.7_32")
    what: str = Field(description="What gave way, in words")
    by: str = Field(description="Who asked for it")
    at: datetime = Field(description="When it gave way")
    stands: str = Field(description="Who asked for what stands, and on which node")


class ConflictDone(BaseModel):
    """What was asked for again, or is left."""

    what: str = Field(description="What gave way, in words")


class FleetOut(BaseModel):
    """The fleet as this node sees it."""

    name: str
    isolated: bool = Field(description="Whether this node is cut off from the engine")
    silent_for: float = Field(description="Seconds since the engine answered")
    unsent: int
    engine: EngineOut
    feeds: str = Field(description="The node that fetches feeds")
    nodes: list[NodeOut]
    relays: list[RelayOut] = Field(description="All relays, by name")
    rollouts: list[RolloutOut] = Field(description="What this node tries, or has tried")
    conflicts: list[ConflictOut] = Field(description="What gave way on this node")
    troubles: list[str] = Field(description="What keeps the fleet from its work, a sentence each")
    unknown: dict[str, str] = Field(description="Intents that this node does not apply, with why")


class SharedOut(BaseModel):
    """How many intents were stated."""

    intents: int


class PolicyIn(Strict):
    """The policy of the fleet: `[automatic]` as in the configuration, as TOML."""

    toml: str = Field(max_length=65_536)


class PolicyOut(BaseModel):
    """The policy that applies on this node; empty: that of its own configuration."""

    toml: str
    fleet: WhereOut | None = Field(default=None, exclude_if=absent)


class ModuleIn(Strict):
    """A module: its C file, with the signature."""

    text: str = Field(min_length=1, max_length=48 << 10)


class ModuleOut(BaseModel):
    """A module that the fleet shares, or shared."""

    name: str
    fleet: WhereOut | None = Field(default=None, exclude_if=absent)


class PartOut(BaseModel):
    """A node's part of a story."""

    node: str
    incident: str
    opened_at: datetime
    closed_at: datetime | None
    attacks: list[str]
    detectors: list[str]
    peak_pps: float
    peak_bps: float
    rules: int
    packets: int


class StoryOut(BaseModel):
    """One attack on one victim, on all nodes."""

    subject: str
    opened_at: datetime
    closed_at: datetime | None = Field(description="null: it goes on at one node at least")
    attacks: list[str]
    peak_pps: float = Field(description="The sum of the nodes' peaks, which need not coincide")
    peak_bps: float
    packets: int = Field(description="Hits of rules that have ended")
    parts: list[PartOut]


class StoriesOut(BaseModel):
    """The incidents of the fleet, the newest first."""

    stories: list[StoryOut]


class FleetChangeOut(BaseModel):
    """A change that a person made on a node."""

    node: str
    number: int
    at: datetime
    actor: str
    action: str
    subject: str
    records: int
    undoable: bool = Field(description="false: it is too large, and is undone on its own node")


class FleetHistoryOut(BaseModel):
    """What people changed on all nodes, the newest first."""

    changes: list[FleetChangeOut]
    next: Next


def conflict_out(key: str, yielded: Yielded) -> ConflictOut:
    """What gave way, as the API shows it."""
    return ConflictOut(
        key=key,
        what=yielded.what,
        by=yielded.by,
        at=timestamp(yielded.at),
        stands=yielded.stands,
    )


def node_out(node: Seen, looked: float, revision: int) -> NodeOut:
    """A node as of `looked` (monotonic seconds), when the engine was at `revision`."""
    report = node.report
    silent = node.silent(looked)
    common: dict[str, Any] = {
        "name": node.name,
        "live": report is not None and node.live(looked),
        "silent_for": _finite(silent),
        "groups": list(node.card.groups),
        "address": node.card.address,
    }
    if report is None:
        return NodeOut(
            **common, version="", behind=revision, unsent=0, rules=0, matches=0, sets=0,
            incidents=0, bypass=False, passive=False, held="", refusals=0, refused={},
            problems=["it has never reported"], rollouts=[], certificate_ends=None, armed={},
        )  # fmt: skip
    return NodeOut(
        **common,
        version=report.version,
        behind=max(0, revision - report.applied),
        unsent=report.unsent,
        rules=report.rules,
        matches=report.matches,
        sets=report.sets,
        incidents=report.incidents,
        bypass=report.bypass,
        passive=report.passive,
        held=report.held,
        refusals=report.refusals,
        refused=dict(report.refused),
        problems=list(report.problems),
        rollouts=list(report.rollouts),
        certificate_ends=timestamp(report.expires) if report.expires else None,
        armed=dict(report.armed),
    )


def _finite(seconds: float) -> float | None:
    return None if seconds == float("inf") else round(seconds, 1)
