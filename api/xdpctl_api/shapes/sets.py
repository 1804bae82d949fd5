# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of sets, and their conversion from and to the internal model."""

from datetime import datetime
from typing import Any

from msgspec import structs
from pydantic import BaseModel, Field

from xdpctl.base.net.prefix import text_of
from xdpctl.mitigation.watchers.lists import Spared
from xdpctl.model.effect import Action, Mode, Spare
from xdpctl.model.source_set import NOTHING, Entries, SourceSet
from xdpctl.processes.control_plane import ControlPlane
from xdpctl_api.shapes.common import timestamp
from xdpctl_api.shapes.fleet import WhereOut, absent
from xdpctl_api.shapes.imports import RejectOut
from xdpctl_api.shapes.monitor import StatisticsOut

_SENDERS = 1000  # in an answer


class FeedOut(BaseModel):
    """A feed, and the result of its last fetches."""

    url: str
    file: str
    refresh: float = Field(description="Seconds from one fetch to the next")
    format: str
    column: str
    checked_at: datetime | None = Field(description="Time of the last fetch; null: none yet")
    next_at: datetime = Field(description="Time of the next fetch")
    good_at: datetime = Field(description="Time of the last good fetch, or of the list itself")
    failures: int = Field(description="Failed fetches since the last good one")
    error: str = Field(description="Why the last fetch failed; empty if it did not")


class Families(BaseModel):
    """Numbers of entries of each family."""

    ipv4: int
    ipv6: int


class OptionsOut(BaseModel):
    """How the list was processed; 0 and false mean that it was left as it is."""

    allow_private: bool = Field(description="Private and special-purpose prefixes are kept")
    aggregate: bool = Field(description="Prefixes are merged exactly")
    widen_ipv4: int = Field(description="Longer prefixes are widened to this length")
    widen_ipv6: int
    at_most: int = Field(description="Merged to at most this many entries of each family")


class SparedOut(BaseModel):
    """Sources of a dropping set that were in conversation with the inside in the last minute."""

    sources: int = Field(description="Number of such sources, in a sample")
    packets: int = Field(description="Estimated number of their packets that passed")
    examples: list[str] = Field(description="The sources with the most packets")


class InsideSenderOut(BaseModel):
    """An address inside that sends to an out set, so far."""

    address: str
    mac: str = Field(
        description="The MAC address of its frames, its own or a router's; empty if not known"
    )
    destination: str = Field(description="Where its last packet went")
    packets: int
    bytes: int


class SetOut(BaseModel):
    """A set with its counters; `applied` excludes entries in protected prefixes."""

    name: str
    out: bool = Field(
        description="Whether it is about what goes out to its prefixes, instead of what comes in"
    )
    action: Action
    mode: Mode
    spare: Spare
    origin: str
    reason: str
    slot: int
    entries: Families
    applied: Families
    created_at: datetime
    changed_at: datetime
    feed: FeedOut | None
    options: OptionsOut
    report: dict[str, int] = Field(description="Numbers of the last change of its entries")
    packets: int
    bytes: int
    spared: SparedOut | None = Field(
        description="Whom it spares. Measured only for a set that drops and spares known flows, "
        "where the flow memory is asked; else null"
    )
    etag: str
    statistics: StatisticsOut | None = Field(
        default=None,
        description="What the set would have hit, in monitor mode; not in lists, and not of what "
        "goes out",
    )
    senders: list[InsideSenderOut] | None = Field(
        default=None,
        description="Who inside sends to an out set: the last 1000, the newest first; not in lists",
    )


class SetList(BaseModel):
    """All sets, by name."""

    sets: list[SetOut]


class SetAnswer(SetOut):
    """A set that was put, and is in the kernel unless it was a dry run."""

    created: bool
    changed: bool = Field(description="Whether the set differs from before")
    dry_run: bool
    rejects: list[RejectOut] = Field(description="The first bad lines")
    warnings: list[str] = Field(description="What the author should know")
    change: int | None = Field(default=None, description="Number of the change, to undo it")
    fleet: WhereOut | None = Field(
        default=None, exclude_if=absent, description="In a fleet, where it is in force"
    )


def set_out(
    ctx: ControlPlane, source_set: SourceSet, planned: Entries | None = None
) -> dict[str, Any]:
    """The fields of a SetOut; `planned` are the entries of a dry run."""
    state = ctx.controller.state
    (hits,) = ctx.controller.datapath.hits([source_set.slot])
    entries = planned or state.entries.get(source_set.name, NOTHING)
    applied = (
        state.applied(source_set.name) if source_set.name in state.sets and not planned else entries
    )
    return {
        "name": source_set.name,
        "out": source_set.out,
        "action": source_set.action,
        "mode": source_set.mode,
        "spare": source_set.spare,
        "origin": source_set.origin,
        "reason": source_set.reason,
        "slot": source_set.slot,
        "entries": {f"ipv{number}": len(keys) for number, keys in entries.items()},
        "applied": {f"ipv{number}": len(keys) for number, keys in applied.items()},
        "created_at": timestamp(source_set.created_at),
        "changed_at": timestamp(source_set.changed_at),
        "feed": feed_out(ctx, source_set),
        "options": structs.asdict(source_set.options),
        "report": dict(source_set.report),
        "packets": hits.packets,
        "bytes": hits.bytes,
        "spared": _spared_out(ctx.lists.found.get(source_set.name)),
        "etag": source_set.etag,
    }


def senders_out(ctx: ControlPlane, source_set: SourceSet) -> list[InsideSenderOut] | None:
    """Who inside sends to an out set; None for another set."""
    if not source_set.out:
        return None
    return [
        InsideSenderOut(
            address=text_of(sender.address),
            mac=sender.mac,
            destination=text_of(sender.destination),
            packets=sender.packets,
            bytes=sender.bytes,
        )
        for sender in ctx.senders.of(source_set)[:_SENDERS]
    ]


def _spared_out(spared: Spared | None) -> SparedOut | None:
    if spared is None:
        return None
    return SparedOut(
        sources=spared.sources,
        packets=spared.packets,
        examples=[text_of(source) for source in spared.examples],
    )


def feed_out(ctx: ControlPlane, source_set: SourceSet) -> FeedOut | None:
    """The feed of a set and the result of its last fetches; None if the set has no feed."""
    if source_set.feed is None:
        return None
    tried = ctx.refresher.attempt(source_set)
    return FeedOut(
        url=source_set.feed.url,
        file=source_set.feed.file,
        refresh=source_set.feed.refresh,
        format=source_set.feed.format,
        column=source_set.feed.column,
        checked_at=timestamp(tried.checked_at) if tried.checked_at else None,
        next_at=timestamp(tried.next_at),
        good_at=timestamp(tried.good_at),
        failures=tried.failures,
        error=tried.error,
    )
